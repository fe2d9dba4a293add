"""Squares of frames: as an image tower's processor makes them."""

from __future__ import annotations

import numpy as np
import pytest

from avs.features.preprocess import Geometry
from avs.video.squares import from_jpeg, resized, square, to_jpeg


def picture(height: int, width: int) -> np.ndarray:
    """A smooth picture whose colours tell the place."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([x * 200 / width, y * 200 / height, 100 + 80 * np.sin((x + y) / 15)], axis=2)
    return waves.round().astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(240, 320), (321, 243), (64, 64), (50, 130), (32, 32)])
def test_a_square_is_what_an_encoder_sees(height: int, width: int) -> None:
    frame = picture(height, width)
    seen = Geometry(64, 64, "bicubic").apply(frame[None])[0].transpose(1, 2, 0)
    assert square(frame, 64).shape == (64, 64, 3)
    assert abs(square(frame, 64).astype(int) - seen).max() <= 2
    assert resized(height, width, 64) == Geometry(64, 64, "bicubic").resized(height, width)


def test_a_jpeg_keeps_colours_and_places() -> None:
    frame = square(picture(90, 120), 64)
    pixels = from_jpeg(to_jpeg(frame, 90))
    assert pixels.shape == (3, 64, 64) and pixels.dtype == np.uint8
    assert abs(pixels.transpose(1, 2, 0).astype(int) - frame).mean() < 2
    assert len(to_jpeg(frame, 50)) < len(to_jpeg(frame, 90))
