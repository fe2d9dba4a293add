from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from avs.core.artifacts import Manifest, write_artefact
from avs.core.errors import ChangedInputsError, ConfigError
from avs.core.progress import Reporter
from avs.pipeline.submission.make import make_submission
from avs.pipeline.submission.plan import Step, SubmissionPlan, SubmissionRun

FOLDER, CONFIG, LIST = Path("out"), Path("x.yaml"), Path("out/lists/a.trec")
RUN = SubmissionRun("r1", 1, "a", Path("out/runs/r1.xml"))
STEPS = (
    Step("a", "search", ("-o", str(LIST)), (), (LIST,)),
    Step("r1", "make-run", (str(LIST), "-o", "out/runs"), ("a",), (RUN.path,)),
    Step("check-run", "check-run", (str(RUN.path),), ("r1",), ()),
)
PLAN = SubmissionPlan(STEPS, (RUN,))


class Verbs:
    """A fake of all verbs: it records each command, and writes its result."""

    def __init__(self, changed: str | None = None) -> None:
        self.lines: list[str] = []
        self.changed = changed

    def __call__(self, verb: str, words: Sequence[str]) -> None:
        self.lines.append(" ".join([verb, *words]))
        result = {"search": LIST, "make-run": RUN.path}.get(verb)
        if result and self.changed == verb and "--force" not in words:
            raise ChangedInputsError("made before from other inputs or settings", where=result, got="changed: config.k")
        if result:
            write_artefact(result, Manifest(verb), lambda path: path.write_text(verb) and None)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CONFIG.write_text("edition: mini\n")


def make(verbs: Verbs, *, force: bool = False) -> list[Path]:
    submission = make_submission(PLAN, CONFIG, FOLDER, verbs, force=force, reporter=Reporter())
    assert submission is not None
    assert json.loads(submission.provenance.read_text())["submission"]["config"] == "x.yaml"
    return list(submission.stale)


def test_steps_run_in_order_and_force_is_for_those_that_write() -> None:
    verbs = Verbs()
    make(verbs, force=True)
    assert verbs.lines == [
        "search -o out/lists/a.trec --quiet --force",
        "make-run out/lists/a.trec -o out/runs --quiet --force",
        "check-run out/runs/r1.xml --quiet",
    ]


def test_a_changed_step_of_this_submission_is_made_again_and_a_file_of_others_is_not() -> None:
    make(Verbs())
    again = Verbs(changed="make-run")
    make(again)
    assert again.lines[1:3] == [
        "make-run out/lists/a.trec -o out/runs --quiet",
        "make-run out/lists/a.trec -o out/runs --quiet --force",
    ]
    LIST.with_name("a.trec.manifest.json").unlink()
    with pytest.raises(ChangedInputsError):
        make(Verbs(changed="search"))


def test_run_files_that_the_plan_does_not_have_are_named() -> None:
    make(Verbs())
    Path("out/runs/old.xml").touch()
    assert make(Verbs()) == [Path("out/runs/old.xml")]


def test_only_one_step_makes_no_submission() -> None:
    verbs = Verbs()
    assert make_submission(PLAN, CONFIG, FOLDER, verbs, only="a", reporter=Reporter()) is None
    assert verbs.lines == ["search -o out/lists/a.trec --quiet"] and not RUN.path.exists()


def test_a_folder_belongs_to_one_yaml() -> None:
    make(Verbs())
    other = Path("other.yaml")
    other.touch()
    with pytest.raises(ConfigError, match="the folder holds the submission of another YAML"):
        make_submission(PLAN, other, FOLDER, Verbs(), reporter=Reporter())
    make_submission(PLAN, other, FOLDER, Verbs(), force=True, reporter=Reporter())
    assert (FOLDER / "submission.txt").read_text() == "../other.yaml\n"
