"""avs train-teachclip: an X-CLIP teaches a student on a store and on videos; the student searches without it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import make_store, shot_ids
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.errors import ConfigError
from avs.core.store import FeatureStore
from avs.features.embedder import read_spec
from avs.models.batch import Batch, Sequences
from avs.models.xclip import XClip
from avs.pipeline.search.trained import load_trained
from avs.pipeline.train.teachers import Student, require_fit
from avs.train.checkpoint import TRAINED_ON, Checkpoint, read_checkpoint
from avs.train.record import read_metrics
from avs.trecvid.trec import read_trec

SHOTS = 12
WORDS = ["a red car", "two dogs run on the grass", "a woman", "blue sky", "a tree in the wind and a very long tail"]
SIZES = ["--max-frames", "3", "--max-words", "9"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, captions and topics, an X-CLIP trained on them, and its student."""
    folder, rng = tmp_path_factory.mktemp("teachclip"), np.random.default_rng(0)
    lengths = rng.integers(1, 6, SHOTS)
    rows = rng.standard_normal((int(lengths.sum()), 128)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    make_store(folder / "mini-clip/frame", rows, lengths=lengths, spec=read_spec("mini-clip"))
    make_store(folder / "raw/frame", rows, lengths=lengths, spec=replace(read_spec("mini-clip"), normalised=False))
    for name, shots in (("c.txt", shot_ids(SHOTS)), ("half.txt", shot_ids(SHOTS)[:6]), ("v.txt", shot_ids(SHOTS)[6:])):
        lines = (f"{shot}#{n} {WORDS[(i + n) % 5]}\n" for i, shot in enumerate(shots) for n in range(2))
        (folder / name).write_text("".join(lines))
    (folder / "topics.txt").write_text("901 a red car\n902 a woman and a tree\n")
    assert main(train(folder, "teacher", *SIZES, verb="train-xclip")) == 0
    assert main(train(folder, "student", *SIZES, "--teacher", str(folder / "teacher"))) == 0
    return folder


def train(
    work: Path, name: str, *more: str, verb: str = "train-teachclip", store: str = "mini-clip", captions: str = "c.txt"
) -> list[str]:
    line = [verb, "--backbone", "mini-clip", "--captions", str(work / captions), "--epochs", "1", "--batch-size", "8"]
    return [*line, "--store", str(work / store / "frame"), *more, "--quiet", "-o", str(work / name)]


def loss_of(folder: Path) -> float:
    loss: float = read_metrics(folder)[0]["loss"]
    return loss


def test_the_verb_trains_with_the_settings_of_the_authors(work: Path) -> None:
    checkpoint = read_checkpoint(work / "student")
    config = checkpoint.config
    assert checkpoint.architecture == "teachclip" and config["coarse"] == "pear"
    assert [config[f"{name}_weight"] for name in ("own", "coarse", "fine")] == [0.2, 1.0, 2.0]
    manifest = json.loads((work / "student/manifest.json").read_text())
    assert manifest["inputs"]["teacher 1"] == read_checkpoint(work / "teacher").fingerprint
    assert manifest["config"]["training"]["batch_size"] == 8 and "teachers" not in manifest["config"]
    assert not list((work / "student").glob(".teacher-*"))
    assert main(["info", str(work / "student"), "--verify"]) == 0


def test_the_student_searches_without_its_teacher(work: Path, tmp_path: Path) -> None:
    (work / "teacher").rename(work / "away")
    try:
        line = ["search", "--topics", str(work / "topics.txt"), "--store", str(work / "mini-clip/frame"), "--quiet"]
        assert main([*line, "--checkpoint", str(work / "student"), "-o", str(tmp_path / "x.trec")]) == 0
    finally:
        (work / "away").rename(work / "teacher")
    found = read_trec(tmp_path / "x.trec").lists["902"]
    model, frames = read_checkpoint(work / "student").load_model(), FeatureStore(work / "mini-clip/frame")
    query, scores = load_trained(read_checkpoint(work / "student")).embed(["a woman and a tree"], ["902"]), []
    for shot in shot_ids(SHOTS):
        values = torch.from_numpy(frames.frames(shot).astype(np.float32))[None]
        video = Batch({}, {"mini-clip/frame": Sequences(values, torch.tensor([values.shape[1]]))})
        with torch.inference_mode():
            scores.append(model.score(query, model.embed_videos(video)).item())
    assert list(found.shots) == [shot_ids(SHOTS)[place] for place in np.argsort(scores)[::-1]]


def test_the_teacher_and_each_part_of_the_loss_change_what_is_learnt(work: Path) -> None:
    teacher = ["--teacher", str(work / "teacher")]
    parts = {
        "both": teacher,
        "coarse": [*teacher, "--fine-weight", "0"],
        "fine": [*teacher, "--coarse-weight", "0"],
        "ce": [*teacher, "--coarse", "ce"],
        "alone": ["--fine-weight", "0", "--coarse-weight", "0"],
    }
    for name, more in parts.items():
        assert main(train(work, f"parts/{name}", *SIZES, *more)) == 0
    losses = {name: loss_of(work / "parts" / name) for name in parts}
    assert len(set(losses.values())) == 5
    assert losses["both"] - losses["alone"] == pytest.approx(
        losses["coarse"] - losses["alone"] + losses["fine"] - losses["alone"], rel=1e-3
    )
    assert loss_of(work / "student") == losses["both"]


def test_a_teacher_embeds_a_video_once_for_all_epochs(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, embed = [], XClip.embed_videos
    monkeypatch.setattr(XClip, "embed_videos", lambda self, videos: counted.append(len(videos)) or embed(self, videos))
    assert main(train(work, "counted", *SIZES, "--teacher", str(work / "teacher"), "--epochs", "3")) == 0
    assert sum(counted) == SHOTS - 1  # one is held out


def test_frames_that_are_drawn_are_embedded_with_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_collection(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    shots = [f"shot{film:05d}_{n}" for film in (1, 2) for n in (1, 2, 3)]
    (tmp_path / "c.txt").write_text("".join(f"{shot}#0 {WORDS[i % 5]}\n" for i, shot in enumerate(shots)))
    videos = ["--videos", "videos", "--shots", "shots.tsv", "--quiet", "--frame-cache", "cache", "--batch-size", "4"]
    line = ["--backbone", "mini-clip", "--captions", "c.txt", *videos, "--max-frames", "2", "--epochs", "2"]
    assert main(["train-xclip", *line, "-o", "teacher"]) == 0
    counted, embed = [], XClip.embed_videos
    monkeypatch.setattr(XClip, "embed_videos", lambda self, videos: counted.append(len(videos)) or embed(self, videos))
    line += ["--teacher", "teacher"]
    assert main(["train-teachclip", *line, "-o", "once"]) == 0
    assert sum(counted) == 5
    counted.clear()
    (tmp_path / "r.yaml").write_text("collections: {}\nframes: {policy: random}\n")
    assert main(["train-teachclip", *line, "--config", "r.yaml", "-o", "drawn"]) == 0
    assert sum(counted) == 10
    assert main(["extract-features", "--videos", "videos", "--shots", "shots.tsv", "--model", "drawn", "-o", "f"]) == 0
    (tmp_path / "topics.txt").write_text("901 a red car\n")
    assert main(["search", "--topics", "topics.txt", "--store", "f/drawn/shot", "--quiet", "-o", "x.trec"]) == 0
    assert set(read_trec(tmp_path / "x.trec").lists["901"].shots) == set(shots)


def test_teachers_that_cannot_teach_are_refused_all_at_once(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(train(work, "raw-teacher", *SIZES, verb="train-xclip", store="raw")) == 0
    assert main(train(work, "one-vector", *SIZES, verb="train-clip4clip")) == 0
    teachers = ["--teacher", str(work / "raw-teacher"), "--teacher", str(work / "one-vector")]
    capsys.readouterr()
    assert main(train(work, "none", "--max-frames", "4", "--max-words", "8", *teachers)) == 2
    error = capsys.readouterr().err
    for said in ("max_frames: got 3; wanted 4", "max_words: got 9; wanted 8", "another encoder", "got clip4clip"):
        assert said in error
    assert not (work / "none").exists()


def test_a_teacher_reads_the_tokens_and_frames_of_the_student(work: Path) -> None:
    teacher = read_checkpoint(work / "teacher")
    of_pixels = replace(teacher, config={**teacher.config, "video_frames": {"teacher/frame": 0}})
    other = replace(teacher, text_features=[{**teacher.text_features[0], "fingerprint": "0"}])
    tokens = [teacher.text_features[0]["fingerprint"]]
    sizes = {"max_frames": 3, "max_words": 9, "image_size": 64}
    student = Student(sizes, reads_videos=False, specs=teacher.video_features, tokens=tokens)
    on_videos = replace(student, reads_videos=True, specs={})

    def wrong(checkpoint: Checkpoint, student: Student) -> str:
        try:
            require_fit([checkpoint], student)
        except ConfigError as error:
            return str(error)
        return ""

    assert wrong(teacher, student) == "" and wrong(of_pixels, on_videos) == ""
    assert "reads frames of a store; wanted pixels" in wrong(teacher, on_videos)
    assert "reads pixels; wanted frames of a store" in wrong(of_pixels, student)
    assert "its tokenizer is not that of the student" in wrong(other, student)
    large = {**sizes, "image_size": 96}
    assert "image_size: got 64; wanted 96" in wrong(of_pixels, replace(on_videos, sizes=large))
    assert wrong(teacher, replace(student, sizes=large)) == ""


def seen_by_chance(work: Path, name: str, captions: str, *more: str) -> list[str]:
    """A training of an X-CLIP that is not validated on v.txt."""
    held_out = ["--validation-captions", str(work / "few.txt")]
    (work / "few.txt").write_text(f"{shot_ids(SHOTS)[0]}#0 a red car\n")
    return train(work, name, *SIZES, *held_out, *more, verb="train-xclip", captions=captions)


def test_a_teacher_that_saw_some_validation_videos_in_another_file_is_refused(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shots = shot_ids(SHOTS)
    (work / "other.txt").write_text("".join(f"{shot}#7 something else\n" for shot in shots[4:8]))
    assert main(seen_by_chance(work, "saw", "other.txt")) == 0
    assert read_checkpoint(work / "saw").trained_on == frozenset(shots[4:8])
    tested = ["--validation-captions", str(work / "v.txt")]
    capsys.readouterr()
    line = train(work, "none", *SIZES, *tested, "--teacher", str(work / "saw"), captions="half.txt")
    assert main(line) == 2
    said = f"was trained on 2 of the 6 videos that this model is validated on ({shots[6]}, {shots[7]})"
    assert said in capsys.readouterr().err and not (work / "none").exists()
    assert main(train(work, "fair", *SIZES, *tested, verb="train-xclip", captions="half.txt")) == 0
    line = train(work, "taught", *SIZES, *tested, "--teacher", str(work / "fair"), captions="half.txt")
    assert main(line) == 0


def test_a_model_that_goes_on_was_trained_on_the_videos_from_before_too(work: Path) -> None:
    shots = shot_ids(SHOTS)
    (work / "one.txt").write_text(f"{shots[9]}#0 a tree\n{shots[10]}#0 a woman\n")
    line = ["train-xclip", "--captions", str(work / "one.txt"), "--store", str(work / "mini-clip/frame"), "--quiet"]
    line += ["--validation-captions", str(work / "few.txt"), "--start-from", str(work / "teacher"), "--epochs", "1"]
    (work / "few.txt").write_text(f"{shots[0]}#0 a red car\n")
    assert main([*line, "--batch-size", "2", "-o", str(work / "goes-on")]) == 0
    before = read_checkpoint(work / "teacher").trained_on
    assert before is not None and len(before) == SHOTS - 1  # one is held out
    assert read_checkpoint(work / "goes-on").trained_on == before | {shots[9], shots[10]}


def test_a_teacher_without_a_record_is_known_by_its_captions_alone(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(seen_by_chance(work, "old", "v.txt")) == 0
    best = work / "old/best"
    (best / TRAINED_ON).unlink()
    manifest = json.loads((best / "manifest.json").read_text())
    del manifest["files"][TRAINED_ON]
    (best / "manifest.json").write_text(json.dumps(manifest))
    teacher = ["--teacher", str(work / "old")]
    capsys.readouterr()
    tested = ["--validation-captions", str(work / "v.txt")]
    assert main(train(work, "none", *SIZES, *tested, *teacher, captions="half.txt")) == 2
    assert "was trained on the captions that this model is validated on" in capsys.readouterr().err
    line = train(work, "from-old", *SIZES, *teacher)
    line.remove("--quiet")
    assert main(line) == 0
    assert "validated on is not known: an older avs trained it, or it was imported" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "teachclip learns from a teacher, and there is none"),
        (["--teacher", "T", "--coarse-weight", "0", "--fine-weight", "0"], "learns from no teacher"),
        (["--teacher", "T", "--teacher", "T"], "a teacher is named twice"),
        (["--teacher", "nowhere"], "nowhere"),
        (["--coarse-weight", "0", "--fine-weight", "0", "--own-weight", "0"], "nothing is learnt"),
        (["--teacher", "T", "--coarse", "cosine"], "coarse"),
    ],
)
def test_what_cannot_be_trained_is_said_before_training(
    work: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [str(work / "teacher") if word == "T" else word for word in more]
    assert main(train(work, "none", *SIZES, *more)) == 2
    assert said in capsys.readouterr().err
    assert not (work / "none").exists()


def test_a_student_goes_on_with_a_teacher(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train-teachclip", "--captions", str(work / "c.txt"), "--store", str(work / "mini-clip/frame"), "--quiet"]
    line += ["--start-from", str(work / "student"), "--epochs", "1", "--batch-size", "8", "-o", str(work / "more")]
    assert main(line) == 2
    assert "teachclip learns from a teacher, and there is none" in capsys.readouterr().err
    assert main([*line, "--teacher", str(work / "teacher")]) == 0
    assert loss_of(work / "more") < loss_of(work / "student")


def test_other_models_have_no_teachers(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "x.yaml").write_text(f"teachers: [{work / 'teacher'}]\ncollections: {{}}\n")
    line = train(work, "none", *SIZES, "--config", str(work / "x.yaml"), verb="train-clip4clip")
    assert main(line) == 2
    assert "clip4clip with these options learns from no teacher" in capsys.readouterr().err
