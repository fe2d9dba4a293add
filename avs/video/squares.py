"""Frames as JPEGs of the square that an image tower takes: the shorter edge resized, the centre cropped, as CLIP does.

Pillow resizes, bicubic and antialiased, as OpenAI's CLIP and the processors of transformers do. The longer edge is
rounded down, as transformers rounds it.
"""

from __future__ import annotations

import io

import numpy as np


def resized(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width of a picture whose shorter edge becomes `size`."""
    if width <= height:
        return int(size * height / width), size
    return size, int(size * width / height)


def square(picture: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the centre of a (H, W, 3) uint8 picture whose shorter edge is resized to `size`."""
    from PIL import Image

    height, width = resized(picture.shape[0], picture.shape[1], size)
    image = Image.fromarray(picture)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    top, left = (height - size) // 2, (width - size) // 2
    return np.asarray(image.crop((left, top, left + size, top + size)))


def to_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """A (H, W, 3) uint8 picture as a JPEG, colours at half the resolution."""
    from PIL import Image

    coded = io.BytesIO()
    Image.fromarray(picture).save(coded, "jpeg", quality=quality, subsampling="4:2:0")
    return coded.getvalue()


def from_jpeg(coded: bytes) -> np.ndarray:
    """(3, H, W) uint8, a view of a JPEG's (H, W, 3) pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(coded)) as image:
        return np.asarray(image).transpose(2, 0, 1)
