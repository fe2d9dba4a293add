"""The demo prints and runs avs commands in order, and stops at the first that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from avs.core.progress import Reporter
from avs.pipeline.demo import OWN_TOPICS, Demo


class FakeVerbs:
    """Records the commands; the verb `failing` ends with exit code 3."""

    def __init__(self, failing: str) -> None:
        self.failing = failing
        self.commands: list[list[str]] = []

    def __call__(self, verb: str, args: Sequence[str]) -> int:
        self.commands.append([verb, *args])
        return 3 if verb == self.failing else 0


def run_on(names: Sequence[str], folder: Path, verbs: FakeVerbs, **options: object) -> None:
    """Run the demo on empty files of these names."""
    (folder / "videos").mkdir()
    for name in names:
        (folder / "videos" / name).touch()
    with pytest.raises(SystemExit) as stopped:
        Demo(folder / "out", Reporter(), verbs, **options).own_videos(folder / "videos", ())  # type: ignore[arg-type]
    assert stopped.value.code == 3


def test_it_stops_at_the_first_command_that_fails(tmp_path: Path) -> None:
    verbs = FakeVerbs("search")
    run_on(["a.mp4", "b.mp4"], tmp_path, verbs)
    assert [command[0] for command in verbs.commands] == ["shots", "extract-features", "search"]
    assert (tmp_path / "out" / "topics.txt").read_text() == OWN_TOPICS


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
