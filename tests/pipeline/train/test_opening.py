"""What is wrong with a training is told before videos are read, and all of it at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_videos import write_collection

import avs.video.fingerprints
from avs.cli.main import main
from avs.models.architectures import architectures, make_config, make_model
from avs.train.checkpoint import read_checkpoint

WORDS = ["a red car", "two dogs run on the grass", "a woman", "blue sky", "a tree in the wind"]
SIZES = ["--max-frames", "2", "--max-words", "9"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of three shots, captions, and an X-CLIP trained on the first film at one frame a second."""
    folder = tmp_path_factory.mktemp("opening")
    write_collection(folder, 2)
    for name, films in (("c.txt", (1, 2)), ("first.txt", (1,)), ("second.txt", (2,))):
        shots = [f"shot{film:05d}_{n}" for film in films for n in (1, 2, 3)]
        lines = (f"{shot}#{n} {WORDS[(i + n) % 5]} {i}\n" for i, shot in enumerate(shots) for n in range(2))
        (folder / name).write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(line("train-xclip", "first.txt", "teacher", *SIZES)) == 0
    return folder


@pytest.fixture(autouse=True)
def here(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos that must not be read."""

    def read(*_: object) -> None:
        raise AssertionError("a video is hashed before everything else was checked")

    monkeypatch.setattr(avs.video.fingerprints, "fingerprint_file", read)


def line(verb: str, captions: str, out: str, *more: str) -> list[str]:
    words = [verb, "--captions", captions, "--videos", "videos", "--shots", "shots.tsv", "--frame-cache", "cache"]
    backbone = [] if "--backbone" in more else ["--backbone", "mini-clip"]
    return [*words, *backbone, "--batch-size", "4", "--epochs", "1", "--quiet", *more, "-o", out]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_a_missing_teacher_is_told_before_videos_are_hashed(unread: None, capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, *line("train-teachclip", "c.txt", "none", *SIZES, "--teacher", "no-such"))
    assert "no such checkpoint" in error and not Path("none").exists()


def test_all_that_is_wrong_is_told_at_once(unread: None, capsys: pytest.CaptureFixture[str]) -> None:
    zeros = ["--own-weight", "0", "--coarse-weight", "0", "--fine-weight", "0"]
    sizes = ["--max-frames", "99", "--max-words", "99"]
    teachers = ["--teacher", "no-such", "--teacher", "teacher"]
    tested = ["--validation-captions", "first.txt"]
    error = refused(capsys, *line("train-teachclip", "second.txt", "none", *sizes, *zeros, *teachers, *tested))
    for said in (
        "this cannot be trained: 3 errors",
        "max_words: got 99; the text tower has",
        "max_frames: got 99; seqTransf has",
        "got 0 for all; wanted a positive number for one, or nothing is learnt",
        "no such checkpoint",
        "max_words: got 9; wanted 99, as the student has",
        "max_frames: got 2; wanted 99, as the student has",
        "was trained on 2 of the 3 videos that this model is validated on",
    ):
        assert said in error
    assert "learns from no teacher" not in error  # it would, with weights


def test_options_are_checked_where_the_backbone_cannot_be_opened_and_captions_are_missing(
    unread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, options, said in (
        ("train-clip2video", ["--max-frames", "1"], "need at least 3 frames"),
        ("train-clip2video", ["--centres", "0"], "centres: got 0; wanted at least 1"),
        ("train-xclip", ["--max-words", "2"], "max_words: got 2; wanted at least 3"),
    ):
        error = refused(capsys, *line(verb, "no-captions.txt", "none", "--backbone", "no-such-clip", *options))
        for part in (said, "no-captions.txt", "no-such-clip", "3 errors"):
            assert part in error
        assert "positions" not in error and "backbone: lacks" not in error


def test_all_collections_are_opened_before_one_is_refused(unread: None, capsys: pytest.CaptureFixture[str]) -> None:
    given = "videos: videos, shots: shots.tsv"
    Path("a.yaml").write_text(
        "collections:\n"
        f"  here: {{captions: c.txt, {given}}}\n"
        f"  no-captions: {{captions: no-c.txt, videos: no-videos, shots: no-shots.tsv}}\n"
        f"  no-table: {{captions: first.txt, videos: videos, shots: no-table.tsv}}\n"
        "  tested: {captions: no-v.txt, videos: videos, shots: shots.tsv}\n"
        "validation: {collection: tested}\n"
        "training: {precision: float16}\n"
    )
    words = ["train-clip2video", "--backbone", "mini-clip", "--config", "a.yaml", "--max-frames", "1", "-o", "none"]
    error = refused(capsys, *words)
    for said in (
        "no-c.txt",
        "no-shots.tsv",
        "no-table.tsv",
        "no-v.txt",
        "need at least 3 frames",
        "float16 is for CUDA",
    ):
        assert said in error
    assert "the collection no-captions cannot be used: 2 errors" in error


def test_a_model_that_nobody_teaches_is_told_so_with_what_else_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.yaml").write_text("collections: {}\nteachers: [teacher, no-such]\n")
    error = refused(capsys, *line("train-clip2video", "c.txt", "none", "--config", "t.yaml", "--max-frames", "1"))
    for said in (
        "clip2video with these options learns from no teacher",
        "need at least 3 frames",
        "no such checkpoint",
    ):
        assert said in error
    assert "cannot teach this model" not in error


def test_a_teacher_of_other_frames_is_refused_unless_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    Path("r.yaml").write_text("collections: {}\nframes: {fps: 2, order: reversed}\n")
    words = line("train-teachclip", "second.txt", "other", *SIZES, "--teacher", "teacher", "--config", "r.yaml")
    error = refused(capsys, *words)
    assert "frames sampled otherwise: got fps 1, order normal; wanted fps 2, order reversed" in error
    assert "--other-frames" in error and not Path("other").exists()
    words.remove("--quiet")
    assert main([*words, "--other-frames"]) == 0
    assert "warning: was trained on frames sampled otherwise" in capsys.readouterr().err
    assert "other_frames" not in json.loads(Path("other/manifest.json").read_text())["config"]
    Path("r.yaml").write_text("collections: {}\nframes: {policy: random}\n")  # a test of it sees what the teacher saw
    assert (
        main(line("train-teachclip", "second.txt", "drawn", *SIZES, "--teacher", "teacher", "--config", "r.yaml")) == 0
    )


def test_a_model_of_pairs_is_validated_on_few_of_them(unread: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.yaml").write_text("collections: {}\nvalidation: {most_pairs: 17}\n")
    tested = ["--validation-captions", "second.txt", "--config", "p.yaml"]
    error = refused(capsys, *line("train-xclip", "first.txt", "none", *SIZES, *tested))
    assert "xclip would score too many pairs in every validation" in error
    assert "18 pairs of 6 texts and 3 videos" in error and "most_pairs: 18" in error
    with pytest.raises(AssertionError, match="hashed"):  # others have vectors, so all pairs are one product
        main(line("train-clip4clip", "first.txt", "none", *SIZES, *tested))
    Path("p.yaml").write_text("collections: {}\nvalidation: {most_pairs: 18}\n")
    with pytest.raises(AssertionError, match="hashed"):
        main(line("train-xclip", "first.txt", "none", *SIZES, *tested))


def test_frames_of_another_size_are_told_before_videos_are_hashed(
    unread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("s.yaml").write_text("collections: {}\nframes: {size: 32}\n")
    error = refused(capsys, *line("train-clip2video", "c.txt", "none", "--config", "s.yaml", "--max-frames", "1"))
    assert "frames of another size than the backbone takes" in error and "need at least 3 frames" in error


def test_options_of_all_models_of_a_grid_are_checked_before_the_first_is_trained(
    unread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("g.yaml").write_text("collections: {}\ngrid: {model: {max_frames: [4, 1], centres: [5, 0]}}\n")
    error = refused(capsys, *line("train-clip2video", "c.txt", "none", "--config", "g.yaml"))
    for said in ("max_frames-4.centres-0: ", "max_frames-1.centres-5: ", "max_frames-1.centres-0: "):
        assert said in error
    assert "3 problems" in error and "max_frames-4.centres-5" not in error and not Path("none").exists()


def test_models_that_teach_say_so() -> None:
    kept = read_checkpoint(Path("teacher")).config
    shared = {name: kept[name] for name in ("backbone", "max_words", "text", "video_frames")}
    for name in architectures:
        architecture = architectures.get(name)
        if architecture.backbone:
            model = make_model(name, make_config(name, {**shared, "max_frames": 3}))
            assert architecture.teaches == (hasattr(model, "logits") and hasattr(model, "frame_relevance")), name
        else:
            assert not architecture.teaches


def test_one_process_at_a_time_trains_into_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("held").mkdir()
    code = "import sys; from pathlib import Path; from avs.core.lock import sole_writer\n"
    code += "with sole_writer(Path('held')): print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        for more in ([], ["--force"]):
            error = refused(capsys, *line("train-xclip", "first.txt", "held", *SIZES, *more))
            assert "another process is writing here" in error and f"process {other.pid}" in error
    finally:
        other.communicate("")
    assert main(line("train-xclip", "first.txt", "held", *SIZES)) == 0
