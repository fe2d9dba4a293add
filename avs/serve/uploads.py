"""Pictures that users give to search with. They live in memory, as pixels, and are never written."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from collections import OrderedDict

import numpy as np

from avs.serve.refusal import Refusal

FORMATS, FORMAT_NAMES = ("JPEG", "PNG", "WEBP", "GIF", "BMP"), "JPEG, PNG, WebP, GIF or BMP"
KEPT_SIDE = 1024  # no encoder sees more


class Uploads:
    """The last pictures that were given.

    Args:
        most: that are kept; most_pixels: of one.
    """

    def __init__(self, most: int, most_pixels: int) -> None:
        self.most, self.most_pixels = most, most_pixels
        self._pictures: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, coded: bytes) -> tuple[str, tuple[int, int]]:
        """The id of a picture, which follows from its pixels, and its width and height as given.

        It is decoded by Pillow, turned upright, and coded anew: nothing but pixels stays of it.

        Raises:
            Refusal: it is no picture of a format that is taken, is damaged, or has too many pixels.
        """
        pixels, size = self._decoded(coded)
        name = f"image-{hashlib.sha256(pixels.tobytes() + repr(pixels.shape).encode()).hexdigest()[:24]}"
        with self._lock:
            self._pictures[name] = pixels
            self._pictures.move_to_end(name)
            while len(self._pictures) > self.most:
                self._pictures.popitem(last=False)
        return name, size

    def get(self, name: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB.

        Raises:
            Refusal: it is not kept.
        """
        with self._lock:
            if name not in self._pictures:
                raise Refusal(
                    404, "no such picture", got=repr(name[:80]), next_step="give it again: pictures are not kept"
                )
            return self._pictures[name]

    def _decoded(self, coded: bytes) -> tuple[np.ndarray, tuple[int, int]]:
        from PIL import Image, ImageOps

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(coded), formats=FORMATS) as image:
                    size = image.size
                    if size[0] * size[1] > self.most_pixels:
                        raise Refusal(
                            413, "the picture has too many pixels", got=f"{size[0]} x {size[1]}",
                            wanted=f"at most {self.most_pixels:,}",
                        )  # fmt: skip
                    image.draft("RGB", (KEPT_SIDE, KEPT_SIDE))  # a JPEG is decoded no larger than needed
                    upright = ImageOps.exif_transpose(image).convert("RGB")
                    upright.thumbnail((KEPT_SIDE, KEPT_SIDE))
                    return np.asarray(upright, dtype=np.uint8), size
        except Refusal:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise Refusal(413, "the picture has too many pixels", wanted=f"at most {self.most_pixels:,}") from error
        except Exception as error:  # Pillow raises almost anything at damaged files
            raise Refusal(
                422, "not a picture that can be read", got=type(error).__name__, wanted=FORMAT_NAMES
            ) from error
