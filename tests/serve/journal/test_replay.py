"""A session asked again: its lists come again, or it is told which do not, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from live_server import SHOTS, TinyServed, ask
from tiny_checkpoints import make_clip
from tiny_sessions import MARKED, session
from tiny_stores import make_store

from avs.cli.main import main
from avs.core.ranking import RankedList
from avs.features.embedder import read_spec
from avs.serve.journal.replay import list_differences

Serve = Callable[..., httpx.Client]


def words(tiny: TinyServed, work: Path, **more: Any) -> list[str]:
    """The options of `tiny.options`, as they are typed."""
    given = {
        "store": tiny.stores, "shots": [tiny.shots], "videos": [tiny.videos], "topics": [tiny.topics],
        "qrels": [tiny.qrels], "cache": [work / "cache"], "sessions": [work / "sessions"], **more,
    }  # fmt: skip
    return [word for name, values in given.items() for value in values for word in (f"--{name}", str(value))]


def replayed(capsys: pytest.CaptureFixture[str], options: list[str], journal: Path, wanted: int) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["serve", *options, "--replay", str(journal), "--json"]) == wanted
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def journal(serve: Serve) -> Path:
    return session(serve())


def test_the_lists_come_again_with_the_marks_of_then(
    journal: Path, tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = journal.read_bytes()
    found = replayed(capsys, words(tiny, tmp_path), journal, 0)
    assert found["states"] == {"equal": 6} and found["differ"] == 0
    assert found["changed"] == {} and found["damaged_lines"] == []
    assert [one["text"] for one in found["lists"]] == [
        "a red circle", "a red circle", "a red circle", "a dog", "a dog < two people", f'shot:{MARKED[0]} -"night"',
    ]  # fmt: skip
    assert found["lists"][3]["then"] == found["lists"][3]["now"] == SHOTS - len(MARKED)
    assert journal.read_bytes() == before and len(list(journal.parent.iterdir())) == 1
    assert main(["serve", *words(tiny, tmp_path), "--replay", str(journal), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_store_of_other_weights_is_named(
    journal: Path, tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = read_spec("clip", weights=make_clip(tmp_path / "weights", seed=9))
    vectors = np.random.default_rng(8).normal(size=(SHOTS, spec.dim))
    other = tmp_path / "other" / "two" / "shot"
    make_store(other, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), spec=spec)
    options = words(tiny, tmp_path, store=[tiny.stores[0], other])
    found = replayed(capsys, options, journal, 1)
    assert [one["state"] for one in found["lists"]] == ["shots"] * 5 + ["equal"]
    assert set(found["changed"]) == {"store two-shot"}
    assert found["lists"][3]["first_rank"] is not None and found["lists"][3]["now"] == SHOTS - len(MARKED)
    assert main(["serve", *options, "--replay", str(journal)]) == 1
    table = capsys.readouterr().out
    lines = table.splitlines()
    assert lines[0].split() == ["question", "shots"] and lines[1].startswith("1  a red circle")
    assert lines[0].index("shots") + len("shots") == lines[1].index(" 60  ") + 3
    assert "5 of 6 lists differ" in table and "differs from rank" in table and "store two-shot" in table


def test_other_times_of_the_same_shots_are_named(
    journal: Path, tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.split("\t") for line in tiny.shots.read_text().splitlines()]
    later = [[*ids, f"{float(start) * 400:.6f}", f"{float(start) * 400 + 90:.6f}"] for *ids, start, _ in lines[1:]]
    (tmp_path / "later.tsv").write_text("\n".join("\t".join(line) for line in [lines[0], *later]) + "\n")
    found = replayed(capsys, words(tiny, tmp_path, shots=[tmp_path / "later.tsv"]), journal, 1)
    assert [one["state"] == "equal" for one in found["lists"]] == [True] * 4 + [False, True]
    assert set(found["changed"]) == {"shots"}


def test_what_cannot_be_asked_now_is_told(
    journal: Path, tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = journal.read_text().splitlines()
    questions = [at for at, line in enumerate(lines) if '"kind": "query"' in line]
    picture = json.loads(lines[questions[0]])
    picture["query"]["parts"] = [{"image": "image-1"}]
    lines[questions[0]] = json.dumps(picture)
    lines[questions[4]] = lines[questions[4]][:-30]
    evil = json.loads(lines[questions[5]])
    evil["query"]["parts"] = [{"text": "\x1b[2J " + "long " * 20}]
    evil["query"]["by"] = ["gone"]
    lines[questions[5]] = json.dumps(evil)
    journal.write_text("\n".join(lines) + '\n{"kind": "marks", "id"')
    found = replayed(capsys, words(tiny, tmp_path, store=tiny.stores[:1]), journal, 1)
    assert [one["state"] for one in found["lists"]] == ["picture", "shots", "shots", "refused", "refused"]
    assert "no such system" in found["lists"][3]["why"] and "two-shot" in found["lists"][3]["why"]
    assert found["damaged_lines"] == [questions[4] + 1, len(lines) + 1]
    assert found["changed"]["store two-shot"]["now"] == "absent"
    assert main(["serve", *words(tiny, tmp_path, store=tiny.stores[:1]), "--replay", str(journal)]) == 1
    table = capsys.readouterr().out
    assert "\x1b" not in table and "..." in table and "absent" in table
    assert "4 of 5 lists differ; 1 not asked again, since pictures are not kept" in table
    assert f"damaged lines, which were passed over: 2 ({questions[4] + 1}, {len(lines) + 1})" in table


def test_files_that_are_no_journal(tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--store", str(tiny.stores[0]), "--cache", str(tmp_path / "cache")]
    (tmp_path / "empty").touch()
    (tmp_path / "garbage").write_bytes(b"\xff\xfe\n[1]\n{}\n" + b"[" * 100_000 + b"\n")
    for name, told in {"none": "no such journal", "empty": "no line of the journal", "garbage": "no line of"}.items():
        assert main(["serve", *options, "--replay", str(tmp_path / name)]) == 2
        assert told in capsys.readouterr().err
    assert main(["serve", *options, "--replay", str(tmp_path)]) == 2
    (tmp_path / "marks").write_text('{"kind": "marks", "id": "1"}\n')
    assert main(["serve", *options, "--replay", str(tmp_path / "marks")]) == 0
    assert "there is no question in this journal" in capsys.readouterr().out
    assert main(["serve", *options, "--replay", str(tmp_path / "marks"), "--export-page", "p.html"]) == 2
    assert "one thing at a time" in capsys.readouterr().err


def test_how_lists_differ() -> None:
    def now(*shots: str, step: float = 0.5) -> RankedList:
        return RankedList("1", shots, 9.0 - step * np.arange(len(shots)))

    then, scores = ("a", "b", "c"), (9.0, 8.5, 8.0)
    same = list_differences(then, scores, now("a", "b", "c"))
    assert same == {
        "state": "equal", "first_rank": None, "gone": 0, "new": 0, "moved": 0, "largest_difference": 0.0,
    }  # fmt: skip
    assert list_differences(then, scores, now("a", "b", "c", step=0.25)) == {
        **same, "state": "scores", "largest_difference": 0.5,
    }  # fmt: skip
    assert list_differences(then, scores, now("a", "c", "d")) == {
        **same, "state": "shots", "first_rank": 2, "gone": 1, "new": 1, "moved": 1, "largest_difference": 0.5,
    }  # fmt: skip
    shorter = list_differences(then, scores, now("a", "b"))
    assert (shorter["state"], shorter["first_rank"], shorter["gone"]) == ("shots", 3, 1)
    longer = list_differences(then, scores, now("a", "b", "c", "d"))
    assert (longer["state"], longer["first_rank"], longer["new"]) == ("shots", 4, 1)
    assert list_differences((), (), now())["state"] == "equal"


def test_a_fuser_that_was_kept_on_the_page_is_asked_for(
    serve: Serve, tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve()
    weights = {"one-shot": 0.25, "two-shot": 2.0}
    body = {"name": "mine", "topic": "661", "systems": list(weights), "weights": weights}
    folder = client.post("/api/v1/fusers", json=body).json()["folder"]
    ask(client, "a dog", fuse="mine")
    journal = client.server.state.opened.book.journal.path  # type: ignore[attr-defined]
    client.server.end()  # type: ignore[attr-defined]
    client.server.state.asked.shutdown(wait=True)  # type: ignore[attr-defined]
    found = replayed(capsys, words(tiny, tmp_path), journal, 1)
    (one,) = found["lists"]
    assert one["state"] == "refused" and one["why"].endswith(f"add --fuser {folder}")
    again = replayed(capsys, words(tiny, tmp_path, fuser=[folder]), journal, 0)
    assert again["states"] == {"equal": 1}
