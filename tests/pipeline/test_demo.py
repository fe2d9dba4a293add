"""The demo prints and runs avs commands in order, and stops at the first that fails."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from avs.core.errors import AvsError
from avs.core.progress import Reporter
from avs.pipeline.demo import ENCODERS, Demo


class FakeVerbs:
    """Records the commands; the verb `failing` ends with exit code 3."""

    def __init__(self, failing: str) -> None:
        self.failing = failing
        self.commands: list[list[str]] = []

    def __call__(self, verb: str, args: Sequence[str]) -> int:
        self.commands.append([verb, *args])
        return 3 if verb == self.failing else 0


def run_on(
    names: Sequence[str], folder: Path, verbs: FakeVerbs, topics: Sequence[Path] = (), **options: object
) -> None:
    """Run the demo on empty files of these names."""
    (folder / "videos").mkdir()
    for name in names:
        (folder / "videos" / name).touch()
    with pytest.raises(SystemExit) as stopped:
        Demo(folder / "out", Reporter(), verbs, **options).own_videos(folder / "videos", topics)  # type: ignore[arg-type]
    assert stopped.value.code == 3


def test_it_stops_at_the_first_command_that_fails(tmp_path: Path) -> None:
    verbs = FakeVerbs("search")
    run_on(["a.mp4", "b.mp4"], tmp_path, verbs)
    assert [command[0] for command in verbs.commands] == ["shots", "extract-features", "search"]
    assert (tmp_path / "out" / "topics.txt").read_text().splitlines()[:2] == [
        "1  a person outdoors",
        "2  a car on a street",
    ]


@pytest.mark.parametrize(("names", "ids"), [(["a.mp4", "b.mp4"], "stem"), (["a.mp4", "a.webm"], "name")])
def test_videos_with_the_same_stem_are_told_apart_by_their_names(names: list[str], ids: str, tmp_path: Path) -> None:
    verbs = FakeVerbs("shots")
    run_on(names, tmp_path, verbs)
    command = verbs.commands[0]
    assert command[command.index("--video-ids") + 1] == ids


def test_options_of_the_demo_reach_the_commands(tmp_path: Path) -> None:
    verbs = FakeVerbs("extract-features")
    run_on(["a.mp4"], tmp_path, verbs, workers=3, force=True)
    for command in verbs.commands:
        assert command[command.index("--workers") + 1] == "3" and {"--quiet", "--force"} <= set(command)


def test_encoders_of_your_choice_reach_extraction_and_search(tmp_path: Path) -> None:
    verbs = FakeVerbs("search")
    run_on(["a.mp4"], tmp_path, verbs, models=["clip-vit-b32", "clip"], weights=["clip=w"])
    extract, search = verbs.commands[1:]
    models = [extract[i + 1] for i, word in enumerate(extract) if word == "--model"]
    assert models == ["clip-vit-b32", "clip"] and extract[extract.index("--weights") + 1] == "clip=w"
    stores = [Path(search[i + 1]).parent.name for i, word in enumerate(search) if word == "--store"]
    assert stores == models


@pytest.mark.parametrize(("models", "loud"), [((), True), (ENCODERS[:1], True), (("mini-clip", "clip-vit-b32"), False)])
def test_encoders_that_know_nothing_of_the_world_are_told(
    models: Sequence[str], loud: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").touch()
    demo = Demo(tmp_path / "out", Reporter(quiet=False), FakeVerbs("shots"), models=models)
    with pytest.raises(SystemExit):
        demo.own_videos(tmp_path / "videos", ())
    assert ("--model clip-vit-b32" in capsys.readouterr().err) == loud


def test_bare_sentences_are_numbered(tmp_path: Path) -> None:
    for name, text in (("a.txt", "a dog that barks\n\n  a man, seen from behind\n"), ("b.txt", "\ufeffzwei Männer\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    verbs = FakeVerbs("search")
    run_on(["a.mp4"], tmp_path, verbs, topics=[tmp_path / "a.txt", tmp_path / "b.txt"])
    written = tmp_path / "out/topics.txt"
    assert written.read_text() == "1  a dog that barks\n2  a man, seen from behind\n3  zwei Männer\n"
    assert verbs.commands[-1][2] == str(written)


def test_topics_with_ids_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("7  a dog\n")
    verbs = FakeVerbs("search")
    run_on(["a.mp4"], tmp_path, verbs, topics=[tmp_path / "t.txt"])
    assert verbs.commands[-1][2] == str(tmp_path / "t.txt")


@pytest.mark.parametrize(
    ("content", "options", "what"),
    [
        (
            b"7  a dog\na cat\n",
            {},
            't.txt:2: no topic id before "a cat"\n  next:   a line is an id, two spaces, and the',
        ),
        ("ein Bär\n".encode("utf-16"), {}, "a topic file in UTF-16"),
        (b" <topics><topic num='x'>a dog</topic></topics>", {}, "t.txt:1: <topic> has no topic id"),
        (b"\n", {}, "no topics"),
        (b"a dog\n", {"models": ["clpi"]}, 'unknown model "clpi"'),
        (b"a dog\n", {"models": ["clip"]}, "weights"),
    ],
)
def test_wrong_topics_and_encoders_are_refused_before_the_work(
    content: bytes, options: dict[str, Sequence[str]], what: str, tmp_path: Path
) -> None:
    (tmp_path / "t.txt").write_bytes(content)
    verbs = FakeVerbs("shots")
    demo = Demo(tmp_path / "out", Reporter(), verbs, **options)  # type: ignore[arg-type]
    with pytest.raises(AvsError) as caught:
        demo.own_videos(tmp_path, [tmp_path / "t.txt"])
    assert what in str(caught.value)
    assert not verbs.commands


def test_every_command_is_printed_before_it_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs = FakeVerbs("extract-features")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(SystemExit):
        Demo(tmp_path / "out", Reporter(quiet=False), verbs).own_videos(tmp_path, ())
    printed = [line[2:] for line in capsys.readouterr().err.splitlines() if line.startswith("$ ")]
    assert printed == [shlex.join(["avs", *command]) for command in verbs.commands] and len(printed) == 2


def test_runs_of_the_mini_collection_are_checked_before_they_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SimpleNamespace(topics="t", qrels="q", qrels_full="f", valid_shots="table", videos="v")
    made: dict[str, object] = {
        "_generate": files,
        "_search": {"one": Path("one")},
        "_make_runs": {"one": Path("one.xml")},
    }
    for name in ("_generate", "_import_shots", "_extract", "_train_laff", "_search", "_fuse", "_shuffle", "_make_runs"):
        monkeypatch.setattr(Demo, name, Mock(return_value=made.get(name)))
    verbs = FakeVerbs("check-run")
    with pytest.raises(SystemExit):
        Demo(tmp_path, Reporter(), verbs).mini_collection(120, 0)
    (command,) = verbs.commands
    assert command[:6] == ["check-run", "one.xml", "--edition", "mini", "--shots", "table"]
