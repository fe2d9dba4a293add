"""avs caption-shots: which captions are written, what fails, and what a kill, a torn journal and other settings do."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import end_by, started, wait_until
from tiny_captioners import make_blip_captioner, make_git_captioner
from tiny_checkpoints import make_clip
from tiny_videos import write_collection

import avs.pipeline.pseudo_captions as pipeline
from avs.captions.read import read_captions
from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.journal import Journal
from avs.core.shots import read_shot_table
from avs.features.captioner import Decoding, open_captioner
from avs.features.embedder import load_embedder
from avs.video.find import find_videos
from avs.video.folder import VideoFolder

MODELS = ["--model", "blip", "--weights", "my-blip", "--judge", "clip", "--judge-weights", "my-clip"]
SMALL = ["--max-tokens", "6", "--batch-size", "2"]  # a unit is of two shots
GIVEN = ["--videos", "videos", "--shots", "shots.tsv", *MODELS, *SMALL]
OUT, WORK = Path("captions.txt"), Path(".captions.txt.under-way")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_blip_captioner(folder / "my-blip")
    make_git_captioner(folder / "my-git")
    make_clip(folder / "my-clip")
    return folder


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three films with three shots of four frames each, and the models, in the current folder."""
    write_collection(tmp_path)
    for model in models.iterdir():
        (tmp_path / model.name).symlink_to(model)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_long_shots() -> None:
    """One shot of each film, of twelve frames in three colours."""
    lines = [f"shot{n:05d}_1\t{n:05d}\t0.000000\t6.000000\n" for n in (1, 2, 3)]
    Path("shots.tsv").write_text("shot\tvideo\tstart_s\tend_s\n" + "".join(lines))


def run(*more: str, out: Path = OUT) -> int:
    return main(["caption-shots", *GIVEN, *more, "-o", str(out)])


def test_the_captions_are_the_best_of_each_shot_by_a_slow_count(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_long_shots()
    assert run("--json", "--keep", "2") == 0
    summary = json.loads(capsys.readouterr().out)
    captioner, judge = (
        open_captioner("blip", "my-blip").load(Decoding(max_tokens=6)),
        load_embedder("clip", weights="my-clip"),
    )
    expected, distinct = {}, 0
    table = read_shot_table(Path("shots.tsv"))
    for shot in table:
        (frames,) = VideoFolder(find_videos(Path("videos"))).read(shot.video, [shot])
        texts: list[str] = []
        for frame in frames.data:
            text = captioner.captions(torch.from_numpy(captioner.preprocessing.geometry.apply(frame[None])))[0]
            texts += [text] if text not in texts else []
        vector = np.mean([judge.encode_images(judge.preprocess(frame[None]))[0] for frame in frames.data], axis=0)
        scores = {text: float(judge.encode_texts([text])[0] @ vector) for text in texts}
        expected[shot.id] = sorted(texts, key=lambda text: -scores[text])[:2]
        distinct += len(texts)
    written = read_captions(OUT)
    found = {video: [c.text for c in written if c.video == video] for video in written.videos}
    assert found == expected and written.ids[:2] == ("shot00001_1#0", "shot00001_1#1")
    kept = sum(map(len, expected.values()))
    assert kept < distinct < summary["frames"] == 36  # some are left out, and some are the same
    counts = {"ok": 3, "partial": 0, "failed": 0, "captions": kept, "frames": 36, "frames_without_caption": 0}
    counts |= {"duplicates": 36 - distinct, "not_kept": distinct - kept}
    assert read_manifest(OUT)["counts"] == counts and {**summary, **counts} == summary
    assert sorted(p.name for p in here.glob("*captions*")) == [
        "captions.txt", "captions.txt.manifest.json", "captions.videos.tsv",
    ]  # fmt: skip
    assert not WORK.exists()


def test_settings_decide_and_a_finished_file_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--keep", "1") == 0
    assert "next: avs train-laff --captions captions.txt --store STORE" in capsys.readouterr().err
    assert len(read_captions(OUT)) == 9
    assert run("--keep", "1") == 0 and "up to date: captions.txt" in capsys.readouterr().err
    for more, name in (
        (["--keep", "2"], "config.keep"),
        (["--keep", "1", "--beams", "1"], "config.beams"),
        (["--keep", "1", "--interval", "1"], "config.sampling"),
        (["--keep", "1", "--batch-size", "3"], "config.batch_size"),
        (["--keep", "1", "--model", "git", "--weights", "my-git"], "config.captioner, inputs.captioner"),
    ):
        before = OUT.read_bytes()
        assert run(*more) == 2 and name in capsys.readouterr().err
        assert OUT.read_bytes() == before and not WORK.exists()
    assert run("--keep", "2", "--force") == 0 and len(read_captions(OUT)) > 9


def test_the_other_family_and_a_sampling_of_the_file(here: Path) -> None:
    assert run("--model", "git", "--weights", "my-git", "--policy", "keyframes") == 0
    assert set(read_captions(OUT).videos) == set(read_shot_table(Path("shots.tsv")).ids)


def test_shots_without_frames_are_told_with_their_reasons(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("videos/00002.mp4").write_bytes(b"no film")
    Path("videos/00003.mp4").unlink()
    for code, share in ((1, "0.5"), (1, "0.5"), (0, "0.7")):  # also when it is finished
        assert run("--max-failed", share) == code
    assert "6 of 9 shots have no caption and are left out" in capsys.readouterr().err
    rows = [line.split("\t") for line in Path("captions.problems.tsv").read_text().splitlines()]
    assert [(shot[:9], status) for shot, status, _ in rows] == [("shot00002", "failed")] * 3 + [
        ("shot00003", "failed")
    ] * 3
    assert all(reason for *_, reason in rows)
    assert {video[:9] for video in read_captions(OUT).videos} == {"shot00001"}


def test_a_captioner_that_writes_no_word_gives_no_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import BlipForConditionalGeneration

    make_blip_captioner(here / "mute")
    model = BlipForConditionalGeneration.from_pretrained("mute")
    model.text_decoder.cls.predictions.bias.data[3] = 1e4  # the end
    model.save_pretrained("mute")
    assert run("--weights", "mute", "--max-failed", "1") == 2
    assert "no shot has a caption" in capsys.readouterr().err and not OUT.exists()
    assert Path("captions.problems.tsv").read_text().count(f"failed\t{pipeline.NO_CAPTION}\n") == 9


def test_what_cannot_be_used_is_told_at_once_before_anything_is_written(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--weights", "my-clip", "--judge-weights", "my-blip") == 2
    told = capsys.readouterr().err
    assert "another family than blip" in told and "another family than clip" in told
    assert main(["caption-shots", *GIVEN[:-8], "--judge", "clip", *SMALL, "-o", "captions.txt"]) == 2
    assert "--judge clip --judge-weights FOLDER_OR_HUB_NAME" in capsys.readouterr().err
    for more, words in (
        (["--keep", "0"], "--keep must be at least 1"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--beams", "0"], "--beams must be at least 1"),
        (["--policy", "unform"], 'did you mean "uniform"?'),
        (["--compute-dtype", "float16"], "float16 is not computed on a CPU"),
        (["--shots", "gone.tsv"], "no such shot table"),
    ):
        assert run(*more) == 2 and words in capsys.readouterr().err
    assert run(out=Path("videos")) == 2 and "captions are one file" in capsys.readouterr().err
    assert not list(here.glob("*captions*")) and not WORK.exists()


def test_a_judge_without_texts_is_refused(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "has_text_side", lambda spec: False)
    assert run() == 2 and "the judge must encode both single images and texts" in capsys.readouterr().err


def interrupted(after: int, monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """A run that ends while its unit number `after` is journalled."""
    append, left = Journal.append, after

    def end(journal: Journal, record: object) -> None:
        nonlocal left
        if not left:
            with open(journal.path, "ab") as file:
                file.write(b"half a li")
            raise KeyboardInterrupt
        left -= 1
        append(journal, record)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", end)
        assert run(*more) == 130


@pytest.fixture
def undisturbed(here: Path) -> bytes:
    assert run(out=Path("other.txt")) == 0
    return Path("other.txt").read_bytes()


@pytest.mark.parametrize("after", [0, 1, 3, 5])
def test_a_run_goes_on_and_ends_with_the_same_bytes(
    here: Path, undisturbed: bytes, after: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(after, monkeypatch)
    assert not OUT.exists() and WORK.is_dir()
    captioned: list[int] = []
    unit = pipeline.caption_unit
    monkeypatch.setattr(pipeline, "caption_unit", lambda seen, *more: captioned.append(len(seen)) or unit(seen, *more))
    assert run() == 0
    assert OUT.read_bytes() == undisturbed and not WORK.exists()
    assert len(captioned) == 6 - after  # two units of each of three films
    assert (f"resuming: {(after * 3 + 1) // 2} shots" in capsys.readouterr().err) == bool(after)


def test_damaged_lines_are_told_and_done_again(
    here: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(4, monkeypatch)
    path = WORK / "journal"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], lines[1][:50] + b"?" + lines[1][51:], *lines[2:]]))
    assert run() == 0 and "1 damaged lines; their shots are captioned again" in capsys.readouterr().err
    assert OUT.read_bytes() == undisturbed


def test_what_is_under_way_of_other_settings_or_versions_is_refused(
    here: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(2, monkeypatch, "--model", "git", "--weights", "my-git")
    assert run() == 2
    told = capsys.readouterr().err
    assert "changed: config.captioner, inputs.captioner" in told and "--force" in told
    assert run("--force") == 0 and OUT.read_bytes() == undisturbed
    OUT.unlink()
    interrupted(2, monkeypatch)
    versions = pipeline.installed_versions()
    monkeypatch.setattr(pipeline, "installed_versions", lambda: {**versions, "torch": "9.9"})
    assert run() == 2 and "begun with other versions" in capsys.readouterr().err
    assert run("--force") == 0 and OUT.read_bytes() == undisturbed


def test_force_goes_on_with_what_is_under_way_of_the_same_settings(
    here: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted(4, monkeypatch)
    assert run("--force") == 0 and "resuming: 6 shots" in capsys.readouterr().err
    assert OUT.read_bytes() == undisturbed


def test_who_finds_a_lock_that_is_gone_runs_again(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    def held_too_late(work: Path):
        raise_on = original(work)

        class Late:
            def __enter__(self) -> None:
                raise_on.__enter__()
                (work / ".lock").unlink()

            def __exit__(self, *error: object) -> None:
                raise_on.__exit__(*error)

        return Late()

    original = pipeline.sole_writer
    monkeypatch.setattr(pipeline, "sole_writer", held_too_late)
    assert run() == 2 and "another process has finished here just now" in capsys.readouterr().err


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)], ids=str)
def test_a_kill_leaves_no_process_and_the_same_command_ends_with_the_same_bytes(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    how: signal.Signals, code: int,
) -> None:  # fmt: skip
    write_collection(tmp_path, films=14)
    for model in models.iterdir():
        (tmp_path / model.name).symlink_to(model)
    monkeypatch.chdir(tmp_path)
    journal = WORK / "journal"
    lines: Callable[[], int] = lambda: journal.read_bytes().count(b"\n") if journal.exists() else 0  # noqa: E731
    with started(["-m", "avs", "caption-shots", *GIVEN, "-o", OUT]) as process:
        wait_until(lambda: lines() > 2, process)
        assert run() == 2  # a second one
        assert "another process is writing here" in capsys.readouterr().err
        ended, err = end_by(process, how)
    assert ended == code and "Traceback" not in err
    assert 2 < lines() < 28 and not OUT.exists()
    assert run() == 0 and run(out=Path("other.txt")) == 0
    assert OUT.read_bytes() == Path("other.txt").read_bytes() and not WORK.exists()


RECIPE = """
collections:
  pc: {captions: captions.txt, features: [features/clip/shot]}
  own: {captions: own.txt, features: [features/clip/shot]}
pretrain: [pc]
train: [own]
text: [mini-clip]
model: {architecture: laff, heads: 1, head_dim: 4}
training: {epochs: 1, batch_size: 4}
"""


def test_a_laff_is_pre_trained_on_pseudo_captions(here: Path) -> None:
    assert run() == 0
    given = ["--videos", "videos", "--shots", "shots.tsv", "--workers", "0"]
    assert main(["extract-features", *given, "--model", "clip", "--weights", "my-clip", "-o", "features"]) == 0
    shots = read_shot_table(Path("shots.tsv")).ids
    Path("own.txt").write_text("".join(f"{shot}#0 number {n}\n" for n, shot in enumerate(shots)))
    Path("recipe.yaml").write_text(RECIPE)
    assert main(["train-laff", "--config", "recipe.yaml", "-o", "laff"]) == 0
    assert Path("laff/pretrained/best/model.safetensors").is_file()
    assert "captions" in str(read_manifest(Path("laff/pretrained"))["inputs"])
