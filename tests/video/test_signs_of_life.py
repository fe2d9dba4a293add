"""Reading a video gives signs of life, so that a long one is not taken for one that hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_videos import write_film

from avs.core import signs_of_life
from avs.core.signs_of_life import sign_of_life, tell_signs
from avs.video.decode import Video


def test_every_packet_is_a_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "BETWEEN_SIGNS_S", 0.0)
    write_film(tmp_path / "film.mp4", seed=0)
    signs: list[None] = []
    tell_signs(lambda: signs.append(None))
    try:
        with Video(tmp_path / "film.mp4") as video:
            frames = list(video.frames())
    finally:
        tell_signs(None)
    assert len(signs) >= len(frames) > 10


def test_signs_in_quick_succession_are_told_once_and_nobody_needs_to_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.1, 100.3])
    monkeypatch.setattr(signs_of_life.time, "monotonic", lambda: next(clock))
    sign_of_life()
    signs: list[None] = []
    tell_signs(lambda: signs.append(None))
    try:
        counts = []
        for _ in range(3):
            sign_of_life()
            counts.append(len(signs))
    finally:
        tell_signs(None)
    assert counts == [1, 1, 2]
