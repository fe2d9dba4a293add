"""Ctrl-C, SIGTERM and SIGKILL: no process is left, what is done is kept, and the same command goes on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import end_by, session, started, wait_until
from tiny_checkpoints import make_clip
from tiny_videos import write_collection, write_film

import avs.pipeline.shots as pipeline
from avs.cli.main import main
from avs.core.progress import Reporter

VIDEOS = 3000
SIGNALS = pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=str
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_film(folder / "film.mp4", seed=0)
    for number in range(1, VIDEOS):
        (folder / f"{number:05d}.mp4").symlink_to(folder / "film.mp4")
    return folder


def lines(path: Path) -> int:
    return path.read_text().count("\n") if path.exists() else 0


@SIGNALS
def test_shots_keeps_finished_videos(videos: Path, tmp_path: Path, how: signal.Signals, code: int) -> None:
    out = tmp_path / "shots.tsv"
    found = pipeline.found_shots_path(out)
    with started(["-m", "avs", "shots", "--videos", videos, "-o", out, "--workers", 2]) as process:
        wait_until(lambda: lines(found) > 5, process)
        ended, err = end_by(process, how)
    assert ended == code
    assert ("run the same command again to resume" in err) == (how != signal.SIGKILL)
    assert "Traceback" not in err
    assert 5 < lines(found) < VIDEOS / 2
    assert not out.exists()


@SIGNALS
def test_rendering_ends(tmp_path: Path, how: signal.Signals, code: int) -> None:
    rendered: Callable[[], int] = lambda: len(list(tmp_path.glob("collection/videos/*.mp4")))  # noqa: E731
    with started(["-m", "avs", "demo", "--size", 3000, "-o", tmp_path, "--workers", 2]) as process:
        wait_until(lambda: rendered() > 2, process)
        ended, err = end_by(process, how)
    assert ended == code
    assert "Traceback" not in err
    assert 2 < rendered() < 75  # of about 150


@SIGNALS
def test_extraction_leaves_no_process(tmp_path: Path, how: signal.Signals, code: int) -> None:
    write_collection(tmp_path, films=40)
    make_clip(tmp_path / "clip")
    arguments = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "-o", tmp_path / "out"]
    arguments += ["--model", "clip", "--weights", tmp_path / "clip", "--batch-size", 1, "--workers", 2]
    with started(["-m", "avs", "extract-features", *arguments]) as process:
        wait_until(lambda: len(session(process.pid)) >= 4, process)  # with both workers and Python's own helper
        ended, err = end_by(process, how)
    assert ended == code
    if how != signal.SIGKILL:
        assert "run the same command again to resume" in err
        assert "Traceback" not in err


def test_shots_goes_on_after_the_last_video_and_writes_the_same_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_collection(tmp_path, films=4)
    (tmp_path / "shots.tsv").unlink()
    whole = tmp_path / "whole.tsv"
    assert main(["shots", "--videos", str(tmp_path / "videos"), "-o", str(whole), "--workers", "0"]) == 0
    read: list[str] = []
    detect_shots = pipeline.detect_shots

    def interrupted(path: Path) -> list[pipeline.Span]:
        read.append(path.stem)
        if len(read) == 3:
            raise KeyboardInterrupt
        return detect_shots(path)

    monkeypatch.setattr(pipeline, "detect_shots", interrupted)
    words = ["shots", "--videos", str(tmp_path / "videos"), "-o", str(tmp_path / "shots.tsv"), "--workers", "0"]
    assert main(words) == 130
    found = pipeline.found_shots_path(tmp_path / "shots.tsv")
    found.write_text(found.read_text() + '\n["00003", "cut o')  # as a full disk or a kill leaves it
    write_film(tmp_path / "videos/00002.mp4", seed=9)  # so what was found in it is not used
    assert main(words) == 0
    assert read == ["00001", "00002", "00003", "00002", "00003", "00004"]
    assert not found.exists()
    assert main(["shots", "--videos", str(tmp_path / "videos"), "-o", str(whole), "--workers", "0", "--force"]) == 0
    assert (tmp_path / "shots.tsv").read_bytes() == whole.read_bytes()


def test_rendering_goes_on_after_the_last_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import avs.demo.collection as rendering

    rendered: list[str] = []
    write_video = rendering.write_video

    def interrupted(path: Path, scenes: object) -> int:
        rendered.append(path.stem)
        if len(rendered) == 2:
            raise KeyboardInterrupt
        return write_video(path, scenes)  # type: ignore[arg-type]

    monkeypatch.setattr(rendering, "write_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rendering.generate_collection(tmp_path, shots=60, workers=0, reporter=Reporter())
    rendering.generate_collection(tmp_path, shots=60, workers=0, reporter=Reporter())
    assert rendered[:3] == ["00001", "00002", "00002"] and rendered.count("00001") == 1
    assert not (tmp_path / rendering.UNFINISHED).exists()
