"""`avs make-submission` as a user runs it, on stores of the encoders that ship with the package."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from processes import end_by, started, wait_until
from tiny_stores import make_store, shot_ids

from avs.cli import main as cli
from avs.cli.main import main
from avs.core.artifacts import Manifest, fingerprint_file, read_manifest, write_artefact
from avs.features.embedder import read_spec

REPOSITORY = Path(__file__).resolve().parents[2]
ENCODERS = ("mini-clip", "mini-blip", "mini-blip2")
THINGS = ("dog", "cat", "car", "boat", "tree", "house", "ball", "star")
SHOTS = 75  # three videos of 25
YAML = """\
edition: mini
topics: topics.txt
shots: table
pid: TEAM
class: F
task: M
novelty: C
trtype: D
searches:
  clip: {store: features/mini-clip/shot}
  blip: {store: features/mini-blip/shot}
runs:
  - {priority: 1, list: blip, desc: BLIP}
  - {priority: 2, list: clip, desc: CLIP}
"""
RUN_1, RUN_2 = "F_M_C_D_TEAM.mini_1", "F_M_C_D_TEAM.mini_2"


def make_features(folder: Path, *, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for name in ENCODERS:
        spec = read_spec(name)
        vectors = rng.normal(size=(SHOTS, spec.dim))
        make_store(folder / name / "shot", vectors / np.linalg.norm(vectors, axis=1, keepdims=True), spec=spec)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collection")
    make_features(folder / "features")
    things = [f"a {THINGS[n % 8]} beside a {THINGS[n // 8]}" for n in range(30)]
    (folder / "topics.txt").write_text("".join(f"{901 + n}  {text}\n" for n, text in enumerate(things)))
    (folder / "table").write_text("".join(f"0000{video} 25\n" for video in (1, 2, 3)))
    (folder / "x.yaml").write_text(YAML)
    return folder


@pytest.fixture
def folder(collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(collection, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def written_files() -> dict[str, int]:
    """When each file of the submission was written."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(Path("submissions").rglob("*")) if path.is_file()}


def edit(before: str, after: str) -> None:
    text = Path("x.yaml").read_text()
    assert before in text
    Path("x.yaml").write_text(text.replace(before, after))


def remade(before: dict[str, int]) -> list[str]:
    """Names of lists and runs that were written since."""
    return [
        Path(path).name
        for path, when in written_files().items()
        if before.get(path) != when and not path.endswith((".json", "submission.txt"))
    ]


def test_one_yaml_makes_a_checked_submission(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-submission", "x.yaml"]) == 0
    out, err = capsys.readouterr()
    files = [f"submissions/x/runs/{run}.xml" for run in (RUN_1, RUN_2)]
    assert [line.split() for line in out.splitlines()[-3:]] == [
        ["priority", "run", "file", "shots", "list"],
        ["1", RUN_1, files[0], "2250", "blip"],
        ["2", RUN_2, files[1], "2250", "clip"],
    ]
    assert f"OK {files[0]}: 1 run, 30 topics, 2250 shots" in out
    assert (
        "$ avs search --topics topics.txt --edition mini --store features/mini-clip/shot -o submissions/x/lists/clip/"
        in err
    )
    assert main(["check-run", *files, "--edition", "mini", "--shots", "table"]) == 0
    search = read_manifest(Path("submissions/x/lists/clip/mini-clip-shot.trec"))
    assert search["command"].startswith("avs search --topics topics.txt"), "a step records the command one would type"


def test_a_second_time_nothing_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-submission", "x.yaml"]) == 0
    before = written_files()
    capsys.readouterr()
    assert main(["make-submission", "x.yaml"]) == 0
    assert written_files() == before
    assert capsys.readouterr().err.count("up to date: ") == 4


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_interrupted_between_steps_it_goes_on_where_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    calls: list[str] = []
    run = cli.invoke

    def interrupted(verb: str, args: list[str]) -> int:
        if verb != "make-submission":
            calls.append(verb)
            if len(calls) > steps:
                raise KeyboardInterrupt
        return run(verb, args)

    with monkeypatch.context() as patched:
        patched.setattr(cli, "invoke", interrupted)
        assert main(["make-submission", "x.yaml"]) == 130
    assert "interrupted; run the same command again to resume" in capsys.readouterr().err
    before = written_files()
    assert len([path for path in before if path.endswith((".trec", ".xml"))]) == steps
    assert main(["make-submission", "x.yaml"]) == 0
    assert {path: when for path, when in written_files().items() if path in before} == before
    assert len(remade(before)) == 4 - steps


def test_killed_for_good_it_goes_on_where_it_was(folder: Path) -> None:
    first = Path("submissions/x/lists/clip/mini-clip-shot.trec")
    with started(["-m", "avs", "make-submission", "x.yaml"]) as process:
        wait_until(first.is_file, process)
        end_by(process, signal.SIGKILL)
    when = first.stat().st_mtime_ns
    assert main(["make-submission", "x.yaml"]) == 0
    assert first.stat().st_mtime_ns == when
    assert Path(f"submissions/x/runs/{RUN_1}.xml").is_file()


def test_an_edited_step_is_made_again_with_what_follows_and_nothing_else(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["make-submission", "x.yaml"]) == 0
    before = written_files()
    capsys.readouterr()
    edit("{store: features/mini-clip/shot}", "{store: features/mini-clip/shot, k: 20}")
    assert main(["make-submission", "x.yaml"]) == 0
    assert remade(before) == ["mini-clip-shot.trec", f"{RUN_2}.xml"]
    err = capsys.readouterr().err
    assert (
        "clip: submissions/x/lists/clip/mini-clip-shot.trec was made before from other inputs or settings "
        "(changed: config.k); making it again\n" in err
    )
    assert f"{RUN_2}: submissions/x/runs/{RUN_2}.xml was made before from other inputs or settings" in err
    before = written_files()
    edit("desc: BLIP", "desc: BLIP zero-shot")
    assert main(["make-submission", "x.yaml"]) == 0
    assert remade(before) == [f"{RUN_1}.xml"]


def test_a_changed_store_is_searched_again(folder: Path) -> None:
    assert main(["make-submission", "x.yaml"]) == 0
    before = written_files()
    shutil.rmtree("features/mini-blip")
    spec = read_spec("mini-blip")
    vectors = np.random.default_rng(5).normal(size=(SHOTS, spec.dim)).astype(np.float32)
    store = make_store(Path("features/mini-blip/shot"), vectors, spec=spec)
    config = {**store.manifest["config"], "sampling": "another"}
    (store.folder / "manifest.json").write_text(
        json.dumps({**store.manifest, "config": config, "fingerprint": "another"})
    )
    assert main(["make-submission", "x.yaml"]) == 0
    assert remade(before) == ["mini-blip-shot.trec", f"{RUN_1}.xml"]


def test_what_is_not_of_this_submission_is_never_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = Path("submissions/x/lists/clip/mini-clip-shot.trec")
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert main(["make-submission", "x.yaml"]) == 2
    assert "a file without a manifest is in the way" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_a_list_changed_by_hand_and_the_submission_of_another_yaml_stop_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["make-submission", "x.yaml", "--quiet"]) == 0
    made_list = next(Path("submissions/x/lists/clip").glob("*.trec"))
    lines = made_list.read_text().splitlines(keepends=True)
    made_list.write_text("".join(lines[: len(lines) // 2]))
    assert main(["make-submission", "x.yaml"]) == 2
    assert "was modified after avs wrote it" in capsys.readouterr().err
    Path("other").mkdir()
    shutil.copy("x.yaml", "other/x.yaml")
    assert main(["make-submission", "other/x.yaml"]) == 2
    assert "the folder holds the submission of another YAML" in capsys.readouterr().err
    assert main(["make-submission", "x.yaml", "--force", "--quiet"]) == 0


def test_run_files_of_an_earlier_yaml_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-submission", "x.yaml"]) == 0
    edit("  - {priority: 2, list: clip, desc: CLIP}\n", "")
    assert main(["make-submission", "x.yaml"]) == 0
    left = f"warning: submissions/x/runs/{RUN_2}.xml is not part of this submission any more; remove it\n"
    assert left in capsys.readouterr().err


def test_a_dry_run_prints_the_commands_and_makes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-submission", "x.yaml", "--dry-run", "-o", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "# clip",
        "avs search --topics topics.txt --edition mini --store features/mini-clip/shot -o out/lists/clip/",
    ]
    assert [line for line in lines if line.startswith("#")] == [
        "# clip", "# blip", f"# {RUN_1}", f"# {RUN_2}", "# check-run",
    ]  # fmt: skip
    assert main(["make-submission", "x.yaml", "--dry-run", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)
    assert steps[2]["needs"] == ["blip"] and steps[2]["makes"] == [f"submissions/x/runs/{RUN_1}.xml"]
    assert not Path("submissions").exists() and not Path("out").exists()


def test_only_one_step(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["make-submission", "x.yaml", "--only", RUN_1]) == 0
    assert remade({}) == ["mini-blip-shot.trec", f"{RUN_1}.xml"]


def test_a_mistake_is_told_before_anything_is_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit("list: clip", "list: clib")
    assert main(["make-submission", "x.yaml"]) == 2
    assert 'x.yaml:14: runs.1.list: no list is called "clib"; did you mean "clip"?' in capsys.readouterr().err
    assert not Path("submissions").exists()


def test_json_is_all_that_is_on_stdout_and_provenance_leads_to_the_stores(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["make-submission", "x.yaml", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out)
    assert [(run["priority"], run["run"], run["shots"], run["list"]) for run in data["runs"]] == [
        (1, RUN_1, 2250, "blip"), (2, RUN_2, 2250, "clip"),
    ]  # fmt: skip
    assert err == ""
    trail = json.loads(Path(data["provenance"]).read_text())
    assert trail["submission"] == {"config": "x.yaml", "fingerprint": fingerprint_file(Path("x.yaml"))}
    assert set(trail["roots"]) == {f"{RUN_1}.xml", f"{RUN_2}.xml"}
    searched = trail["artefacts"]["../lists/blip/mini-blip-shot.trec"]["inputs"]
    assert searched["store"]["path"] == "../../../features/mini-blip/shot"
    assert trail["artefacts"]["../../../features/mini-blip/shot"]["spec"]["name"] == "mini-blip"


def test_lists_from_elsewhere_can_be_submitted(folder: Path) -> None:
    lines = [f"{topic} 0 {shot} 1 {9.5 - n} T\n" for topic in range(901, 931) for n, shot in enumerate(shot_ids(5))]
    write_artefact(
        Path("team.trec"), Manifest("ranked-lists", seconds=60.0), lambda path: path.write_text("".join(lines)) and None
    )
    edit("searches:", "lists: {team: team.trec}\nsearches:")
    edit("list: clip", "list: team")
    assert main(["make-submission", "x.yaml"]) == 0
    assert read_manifest(Path(f"submissions/x/runs/{RUN_2}.xml"))["counts"]["shots"] == 150


def test_the_configuration_of_the_mini_collection_runs_on_what_the_demo_leaves(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = Path("avs-demo")
    (demo / "collection/topics").mkdir(parents=True)
    shutil.copytree("features", demo / "features")
    shutil.copy("topics.txt", demo / "collection/topics/mini.avs.topics.txt")
    shutil.copy("table", demo / "collection/mini.validShotTable")
    captions = "".join(f"{shot}#0 a {THINGS[n % 8]}\n" for n, shot in enumerate(shot_ids(SHOTS)))
    Path("tiny.caption.txt").write_text(captions)
    features = [word for name in ENCODERS for word in ("--store", f"avs-demo/features/{name}/shot")]
    tiny = ["--head-dim", "8", "--heads", "1", "--epochs", "1", "--text", "bow", "-o", "avs-demo/models/laff"]
    assert main(["train-laff", "--captions", "tiny.caption.txt", *features, *tiny]) == 0
    config = str(REPOSITORY / "configs/runs/mini.yaml")
    capsys.readouterr()
    assert main(["make-submission", config, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [(run["priority"], run["list"]) for run in data["runs"]] == [
        (1, "average"), (2, "encoders-then-laff"), (3, "models/laff"), (4, "spread"),
    ]  # fmt: skip
    before = written_files()
    assert main(["make-submission", config]) == 0
    assert written_files() == before
    assert main(["info", data["runs"][0]["file"], "--provenance"]) == 0
    trail = capsys.readouterr().out
    assert "checkpoint: avs-demo/models/laff/best  ✓" in trail and "✗" not in trail


LEARNED = """\
edition: custom
topics: now.txt
shots: table
pid: TEAM
class: F
task: M
novelty: C
trtype: D
searches:
  now: {store: features/*/shot}
  before: {store: features/*/shot, topics: past.txt}
fusions:
  learned: {lists: now, past: before, method: coordinate-ascent, qrels: qrels}
  again: {lists: [now], method: coordinate-ascent, fuser: learned, k: 50}
  average: {lists: now}
runs:
  - {priority: 1, list: learned, desc: learned}
  - {priority: 2, list: again, desc: shorter}
  - {priority: 3, list: average, desc: average}
"""


def test_a_fuser_is_learned_on_past_topics_kept_in_the_folder_and_learned_again_when_its_judgments_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = Path("topics.txt").read_text().splitlines(keepends=True)
    Path("past.txt").write_text("".join(topics[:8]))
    Path("now.txt").write_text("".join(topics[8:12]))
    judged = [f"1{901 + n} 0 {shot} 1 {int(m % 8 == n)}\n" for n in range(8) for m, shot in enumerate(shot_ids(SHOTS))]
    Path("qrels").write_text("".join(judged))
    Path("x.yaml").write_text(LEARNED)
    assert main(["make-submission", "x.yaml"]) == 0
    assert read_manifest(Path("submissions/x/fusions/learned"))["inputs"]["qrels 1"] == fingerprint_file(Path("qrels"))
    again = Path("submissions/x/runs/F_M_C_D_TEAM.custom_2.xml")
    assert again.read_text().count("<item ") == 4 * 50
    before = written_files()
    assert main(["make-submission", "x.yaml"]) == 0
    assert written_files() == before
    Path("qrels").write_text("".join(judged[SHOTS:]))
    capsys.readouterr()
    assert main(["make-submission", "x.yaml"]) == 0
    assert "learned: submissions/x/fusions/learned was made before from other inputs" in capsys.readouterr().err
    written = remade(before)
    assert "learned.trec" in written and "average.trec" not in written
    assert not any(name.startswith("mini-") for name in written)
    assert main(["info", str(again), "--provenance"]) == 0
    assert "qrels 1: qrels  ✓" in capsys.readouterr().out
