from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_videos import MakeVideo

from avs.core.errors import VideoError
from avs.core.progress import Reporter
from avs.video.detect import detect_shots, whole_file
from avs.video.shots import FindShots, shots_of_videos


@pytest.mark.parametrize("find", [detect_shots, whole_file])
def test_processes_give_what_one_gives_and_failures_have_reasons(make_video: MakeVideo, find: FindShots) -> None:
    videos = {"b10": make_video("1.mp4"), "b9": make_video("2.mkv", frames=20), "gone": Path("gone.mp4")}
    with Reporter().stage("shots", len(videos), "videos") as stage:
        (one, one_failed), (two, two_failed) = (
            shots_of_videos(videos, find, workers=workers, stage=stage, found={}) for workers in (1, 2)
        )
    assert one_failed == two_failed == {"gone": "no such video file"}
    assert [*one] == [*two]
    assert one.video_ids == ("b9", "b10")


def test_no_video_at_all(tmp_path: Path) -> None:
    with Reporter().stage("shots", 1, "videos") as stage, pytest.raises(VideoError, match="none of 1 videos"):
        shots_of_videos({"gone": tmp_path / "gone.mp4"}, whole_file, workers=1, stage=stage, found={})


def backwards(path: Path) -> list[tuple[float, float]]:
    return [(0.0, 0.0 if path.name == "bad.mp4" else 2.0)]


def test_one_videos_fault_costs_no_other_videos_rows() -> None:
    with Reporter().stage("shots", 2, "videos") as stage:
        table, failed = shots_of_videos(
            {"good": Path("good.mp4"), "bad": Path("bad.mp4")}, backwards, workers=1, stage=stage, found={}
        )
    assert table.ids == ("shotgood_1",)
    assert failed == {"bad": "the video's times make no shots (one from 0.0 s to 0.0 s)"}


def process_id(path: Path) -> list[tuple[float, float]]:
    return [(0.0, float(os.getpid()))]


@pytest.mark.parametrize(("workers", "here"), [(1, True), (2, False)])
def test_two_workers_are_other_processes(workers: int, here: bool) -> None:
    with Reporter().stage("shots", 2, "videos") as stage:
        table, _ = shots_of_videos({v: Path(v) for v in "ab"}, process_id, workers=workers, stage=stage, found={})
    assert (set(table.end_s.tolist()) == {float(os.getpid())}) == here
