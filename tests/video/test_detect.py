from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from files import files
from tiny_videos import MakeVideo

from avs.core.errors import VideoError
from avs.video.detect import detect_shots, whole_file

SCENES = 9


def scenes(seed: int, lengths: list[int]) -> list[np.ndarray]:
    """Blocky scenes, each panning slowly, joined by hard cuts."""
    rng = np.random.default_rng(seed)
    pictures = []
    for length in lengths:
        scene = np.kron(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
        pictures += [np.roll(scene, 2 * n, axis=1) for n in range(length)]
    return pictures


@pytest.mark.parametrize("seed", range(3))
def test_every_hard_cut_is_found_and_nothing_else(make_video: MakeVideo, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(10, 40, SCENES).tolist()
    found = detect_shots(make_video(pictures=scenes(seed, lengths), frames=sum(lengths), fps=25, key_every=50))
    bounds = np.concatenate([[0], np.cumsum(lengths)]) / 25
    np.testing.assert_allclose(found, list(zip(bounds, bounds[1:], strict=False)), atol=0.0015)


def test_a_video_without_cuts_is_one_shot(make_video: MakeVideo) -> None:
    pictures = scenes(0, [60])
    assert detect_shots(make_video(pictures=pictures, frames=60, fps=25)) == [(0.0, 2.4)]


def test_a_flash_is_no_cut(make_video: MakeVideo) -> None:
    pictures = scenes(0, [60])
    for n in (30, 31, 32):
        pictures[n] = np.full_like(pictures[n], 255)
    assert len(detect_shots(make_video(pictures=pictures, frames=60, fps=25))) == 1


def test_a_shaking_hand_with_repeated_frames_is_no_cut(make_video: MakeVideo) -> None:
    rng = np.random.default_rng(0)
    scene = scenes(0, [1])[0]
    shaken = [np.roll(scene, rng.integers(-40, 40, 2), axis=(0, 1)) for _ in range(30)]
    pictures = [picture for picture in shaken for _ in range(2)]
    assert len(detect_shots(make_video(pictures=pictures, frames=60, fps=25))) == 1


def test_cuts_are_times_not_frame_numbers(make_video: MakeVideo) -> None:
    times_s = [n * 0.04 for n in range(30)] + [1.2 + n * 0.2 for n in range(30)]
    path = make_video("vfr.mkv", pictures=scenes(1, [40, 20]), times_s=times_s, fps=25, start_s=3.0)
    (_, first_end_s), (second_s, _) = detect_shots(path)
    assert first_end_s == second_s == pytest.approx(times_s[40], abs=1e-6)


def test_one_frame_is_a_shot(make_video: MakeVideo) -> None:
    (span_s,) = detect_shots(make_video(frames=1))
    assert span_s == (0.0, 0.1)
    assert whole_file(make_video("other.mp4", frames=1)) == [(0.0, 0.1)]


def test_one_shot_per_file(make_video: MakeVideo) -> None:
    assert whole_file(make_video(start_s=1.0)) == [(0.0, 4.0)]


def test_two_recordings_in_one_file_are_shots_of_one_time(make_video: MakeVideo, tmp_path: Path) -> None:
    """The clock of the second starts again."""
    pictures = scenes(0, [50, 30])
    first = make_video("1.ts", pictures=pictures[:50], frames=50, fps=25, b_frames=0)
    second = make_video("2.ts", pictures=pictures[50:], frames=30, fps=25, b_frames=0)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    np.testing.assert_allclose(detect_shots(both), [(0.0, 2.0), (2.0, 3.2)], atol=1e-6)
    np.testing.assert_allclose(whole_file(both), [(0.0, 3.2)], atol=1e-6)


def test_a_cut_at_time_zero_makes_no_empty_shot(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the first two frames have one time."""
    monkeypatch.setattr("avs.video.detect._cuts", lambda times_s, values: [0.0, 1.0])
    assert detect_shots(make_video()) == [(0.0, 1.0), (1.0, 4.0)]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for find in (detect_shots, whole_file):
        with pytest.raises(VideoError, match="no such video file"):
            find(tmp_path / "none.mp4")


def test_cuts_of_a_real_film(shared: Callable[[str], Path]) -> None:
    """Looked at: landscape, brook, the bird from 15.7 s, the title from 23.0 s."""
    starts_s = [start_s for start_s, _ in detect_shots(shared("videos/clips/big_buck_bunny_0_30.webm"))]
    assert starts_s == pytest.approx([0.0, 11.792, 15.667, 22.958], abs=1e-3)


def test_master_shots_hold_no_cut(shared: Callable[[str], Path]) -> None:
    """Among them 25 s of hand-held film with repeated frames."""
    for path in files(shared("iacc3"), "*.mp4"):
        assert len(detect_shots(path)) == 1, path.name
