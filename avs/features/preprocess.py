"""How frames become the square images an image tower takes: resized and cropped, as by the checkpoint's processor.

The encoder normalises (mean and std) on its device. The resize is torch's antialiased one on uint8. It is within 2 of
255 of the Pillow resize in transformers' processors, and several times faster. One exception is a picture that becomes
lower and wider at once (a portrait squeezed to a square): Pillow 13 resizes its columns first, torch its rows. In that
case noise differs by up to 20 of 255, and pictures by about 5.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.errors import AvsError, ConfigError
from avs.features.weights import read_json

SHORTEST_EDGE_CROP = "shortest-edge-crop"
SQUARE = "square"
CENTER, TEN = "center", "ten"  # crops of an image
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # Pillow's codes
OTHER_STEPS = ("do_pad", "rescale_offset", "include_top")  # of processors, that change pixels when they are on
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json")  # transformers 5, and before


@dataclass(frozen=True, slots=True)
class Geometry:
    """How a frame becomes a square image.

    Attributes:
        size: height and width of the image, in pixels.
        edge: length the frame's shorter edge is resized to before the centre is cropped; None: the frame is resized
            to the square itself, which changes its aspect ratio.
        interpolation: "bicubic" or "bilinear", antialiased.
        crops: "center", or "ten": the corners and the centre of the resized frame; the encoder adds the mirror images.
    """

    size: int
    edge: int | None
    interpolation: str
    crops: str = CENTER

    @property
    def rule(self) -> str:
        """Its name in an EmbedderSpec."""
        if self.edge is None:
            return SQUARE
        return SHORTEST_EDGE_CROP if self.edge == self.size else f"shortest-edge-{self.edge}-crop"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the image that a frame becomes: (3, size, size), or (5, 3, size, size) of ten crops."""
        return (*((5,) if self.crops == TEN else ()), 3, self.size, self.size)

    def apply(self, frames: np.ndarray, *, into: np.ndarray | None = None) -> np.ndarray:
        """(F, 3, size, size) uint8 images of (F, H, W, 3) uint8 RGB frames; (F, 5, 3, size, size) of ten crops.

        Args:
            into: where they are put; None: a new array.
        """
        import torch

        height, width = frames.shape[1:3]
        if into is None:
            into = np.empty((len(frames), *self.shape), dtype=np.uint8)
        if len(frames) == 0:
            return into
        # The permuted view is channels-last, the layout torch resizes uint8 fastest in.
        images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        target = self.resized(height, width)
        if target != (height, width):
            images = torch.nn.functional.interpolate(images, size=target, mode=self.interpolation, antialias=True)
        low, right = target[0] - self.size, target[1] - self.size
        places = [(low // 2, right // 2)]
        if self.crops == TEN:
            places = [(0, 0), (0, right), (low, 0), (low, right), *places]
        crops = [images[:, :, top : top + self.size, left : left + self.size] for top, left in places]
        cropped = torch.stack(crops, dim=1) if self.crops == TEN else crops[0]
        torch.from_numpy(into).copy_(cropped)
        return into

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the resize; the longer edge is rounded down, as transformers rounds it."""
        if self.edge is None:
            return self.size, self.size
        if width <= height:
            return int(self.edge * height / width), self.edge
        return self.edge, int(self.edge * width / height)


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a checkpoint's processor does to an image: geometry, then `(value / 255 - mean) / std` per channel."""

    geometry: Geometry
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read_preprocessing(folder: Path, *, shortest_edge: bool, crops: str = CENTER) -> Preprocessing:
    """The preprocessing of a checkpoint, from the processor config next to its weights.

    Args:
        folder: the checkpoint.
        shortest_edge: whether a bare `"size": 224` of an old config means the shorter edge (CLIP) or a square (BLIP).
        crops: of the resized frames.

    Raises:
        AvsError: there is no such config, or it has a step that is not implemented.
        ConfigError: ten crops of frames that are not cropped.
    """
    path, data = _processor_config(folder)
    if not data.get("do_rescale", True) or abs(data.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
        raise _unsupported(path, "rescaling other than 1/255", data.get("rescale_factor"))
    for step in OTHER_STEPS:
        if data.get(step):
            raise _unsupported(path, step, data[step])
    code = data.get("resample", 3)
    if code not in INTERPOLATIONS:
        raise _unsupported(path, "resample", code)
    size, edge = _size(path, data, shortest_edge=shortest_edge)
    if data.get("do_normalize", True):
        mean, std = data["image_mean"], data["image_std"]
    else:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if crops == TEN and edge is None:
        raise ConfigError(
            "ten crops are for checkpoints whose frames are cropped; these are resized to a square",
            where=path,
            next_step="leave the crops out",
        )
    return Preprocessing(Geometry(size, edge, INTERPOLATIONS[code], crops), tuple(mean), tuple(std))


def write_preprocessing(folder: Path, preprocessing: Preprocessing) -> None:
    """Write a processor config from which read_preprocessing reads the same."""
    geometry = preprocessing.geometry
    square = {"height": geometry.size, "width": geometry.size}
    codes = {name: code for code, name in INTERPOLATIONS.items()}
    config = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": square if geometry.edge is None else {"shortest_edge": geometry.edge},
        "resample": codes[geometry.interpolation],
        "do_center_crop": True,
        "crop_size": square,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_convert_rgb": True,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
    (folder / PROCESSOR_FILES[-1]).write_text(json.dumps(config, indent=1) + "\n")


def _processor_config(folder: Path) -> tuple[Path, dict[str, Any]]:
    for name in PROCESSOR_FILES:
        path = folder / name
        if path.is_file():
            data = read_json(path)
            data = data.get("image_processor", data)
            if "image_mean" in data or not data.get("do_normalize", True):
                return path, data
    raise AvsError(
        "the checkpoint has no config that says how its images are preprocessed",
        where=folder,
        wanted=" or ".join(PROCESSOR_FILES),
        next_step="copy the processor's config of the original checkpoint into the folder",
    )


def _size(path: Path, data: dict[str, Any], *, shortest_edge: bool) -> tuple[int, int | None]:
    """The size of the image, and of the shorter edge before cropping (None: resized to the square)."""
    size = data.get("size")
    if isinstance(size, int):
        size = {"shortest_edge": size} if shortest_edge else {"height": size, "width": size}
    crop = data.get("crop_size") if data.get("do_center_crop", False) else None
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    if not data.get("do_resize", True) or not isinstance(size, dict):
        raise _unsupported(path, "size", size)
    if crop is not None and (not _is_square(crop) or crop["height"] > min(v for v in size.values() if v)):
        raise _unsupported(path, "crop_size", crop)
    if size.get("shortest_edge") and crop is not None:
        return int(crop["height"]), int(size["shortest_edge"])
    if _is_square(size) and crop in (None, {"height": size["height"], "width": size["width"]}):
        return int(size["height"]), None
    raise _unsupported(path, "size", size)


def _is_square(size: dict[str, Any]) -> bool:
    return bool(size.get("height")) and size.get("height") == size.get("width")


def _unsupported(path: Path, key: str, value: object) -> AvsError:
    return AvsError(
        "the checkpoint's preprocessing is not one this project reproduces",
        where=path,
        got=f"{key}: {value}",
        wanted="a resize to a square, or of the shorter edge and then a centre crop, bicubic or bilinear",
    )
