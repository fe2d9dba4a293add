"""Weights by hand become a fuser that `avs fuse` reads, and that it refuses for the topic it was tuned on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from live_server import TinyServed, ask, running

from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.contents import changed_files
from avs.fusion.artefact import read_fuser
from avs.fusion.methods.weighted import Linear
from avs.trecvid.trec import read_trec

Serve = Callable[..., httpx.Client]
WEIGHTS = {"one-shot": 0.25, "two-shot": 2.0}
BODY = {"name": "mine", "topic": "661", "systems": ["two-shot", "one-shot"], "weights": WEIGHTS}


def saved(client: httpx.Client, **more: object) -> dict:
    answer = client.post("/api/v1/fusers", json={**BODY, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def of_topic(lists: Path, topic: str, folder: Path) -> list[str]:
    """The two lists, of one topic alone."""
    folder.mkdir()
    for path in lists.glob("*-shot.trec"):
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.split()[0].endswith(topic)]
        (folder / path.name).write_text("".join(lines))
    return sorted(str(path) for path in folder.glob("*.trec"))


def test_avs_fuse_reads_it_and_refuses_its_topic(
    serve: Serve, tiny: TinyServed, tmp_path: Path, lists: Path, capsys: pytest.CaptureFixture
) -> None:
    client = serve()
    made = saved(client)
    folder = tmp_path / "sessions/fusers/mine"
    assert made["folder"] == str(folder) and made["fitted_on"] == ["661"] and made["name"] == "mine"
    assert made["systems"] == ["one-shot", "two-shot"] and "--fuser" in made["next_step"]
    fuser, manifest = read_fuser(folder), read_manifest(folder)
    assert isinstance(fuser, Linear) and dict(fuser.weights) == WEIGHTS
    assert manifest["type"] == "fuser" and manifest["config"]["topics"] == ["661"]
    assert manifest["config"]["fitted"] == "by hand" and list(manifest["inputs"]) == ["qrels 1"]
    assert not changed_files(folder, manifest)
    command = ["--fuser", str(folder), "-o", str(tmp_path / "fused.trec"), "--quiet"]
    assert main(["fuse", *of_topic(lists, "661", tmp_path / "a"), *command]) == 2
    assert "661" in capsys.readouterr().err and not (tmp_path / "fused.trec").exists()
    assert main(["fuse", *of_topic(lists, "662", tmp_path / "b"), *command]) == 0
    wanted = read_trec(tmp_path / "fused.trec").lists["662"]
    answer = ask(client, "two people dance", topic="662", fuse="mine")
    found = client.get(f"/api/v1/lists/{answer['list']}/ids").json()
    assert tuple(found["shots"]) == wanted.shots and found["scores"] == pytest.approx(wanted.scores.tolist())
    by_hand = ask(client, "two people dance", topic="662", by=list(WEIGHTS), fuse="weighted", weights=WEIGHTS)
    assert [one["shot"] for one in by_hand["results"]] == found["shots"][:100]


def test_lists_of_its_topic_are_stamped_and_no_run(serve: Serve) -> None:
    client = serve()
    saved(client)
    tuned = ask(client, "a red circle", topic="661", fuse="mine")
    assert tuned["stamp"] == "automatic-invalid"
    assert any("tuned on this topic" in line for line in tuned["warnings"])
    refused = client.post("/api/v1/export", json={"lists": [tuned["list"]]})
    assert refused.status_code == 422 and "judgments" in refused.text
    other = ask(client, "two people dance", topic="662", fuse="mine")
    assert other["stamp"] == "automatic"
    facts = [one for one in client.get("/api/v1/status").json()["systems"] if one["kind"] == "fuser"]
    assert [(one["name"], one["learned_from"], one["spec"]) for one in facts] == [("mine", ["661"], "weighted")]


def test_it_is_opened_again_with_the_same_lists(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    client = serve()
    folder = Path(saved(client)["folder"])
    first = ask(client, "two people dance", topic="662", fuse="mine")
    with running(tiny.options(tmp_path / "again", fusers=[folder])) as server:
        with httpx.Client(base_url=server.root, timeout=60) as again:
            assert ask(again, "two people dance", topic="662", fuse="mine")["results"] == first["results"]
            other = again.post("/api/v1/fusers", json=BODY)
            assert other.status_code == 409 and "name" in other.text


def test_lists_of_two_fusers_of_one_name_have_two_ids(serve: Serve, tmp_path: Path) -> None:
    found = []
    for number, weights in enumerate((WEIGHTS, {**WEIGHTS, "one-shot": 9.0})):
        client = serve(sessions=tmp_path / str(number))
        saved(client, weights=weights)
        found.append(ask(client, "two people dance", topic="662", fuse="mine")["list"])
    assert found[0] != found[1]


def test_the_same_again_is_the_same_and_another_is_refused(serve: Serve) -> None:
    client = serve()
    first = saved(client)
    assert saved(client) == first
    for change in ({"topic": "662"}, {"weights": {**WEIGHTS, "one-shot": 0.5}}):
        refused = client.post("/api/v1/fusers", json={**BODY, **change})
        assert refused.status_code == 409 and "another fuser" in refused.text
    assert saved(client) == first


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"name": "average"}, 409, "name"), ({"name": "one-shot"}, 409, "name"), ({"name": "../x"}, 422, "name"),
        ({"systems": ["one-shot"]}, 422, "weight of every system"),
        ({"systems": ["one-shot", "no"]}, 404, "no such system"),
        ({"systems": ["one-shot", "one-shot", "two-shot"]}, 422, "each once"),
        ({"weights": dict.fromkeys(WEIGHTS, 0.0)}, 422, "above 0"),
        ({"weights": {**WEIGHTS, "one-shot": -1.0}}, 422, ""),
        ({"topic": "a b"}, 422, "topic"), ({"more": 1}, 422, "more"),
    ],
)  # fmt: skip
def test_what_is_refused(shared_client: httpx.Client, change: dict, status: int, words: str) -> None:
    refused = shared_client.post("/api/v1/fusers", json={**BODY, **change})
    assert refused.status_code == status and words in refused.text, refused.text


def test_a_server_that_is_read_only_keeps_none(serve: Serve, tmp_path: Path) -> None:
    refused = serve(read_only=True).post("/api/v1/fusers", json=BODY)
    assert refused.status_code == 403 and not (tmp_path / "sessions").exists()
