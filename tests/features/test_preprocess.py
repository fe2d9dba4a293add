"""Preprocessing against transformers' own Pillow processors, which are the reference for every checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import MEAN, STD, write_processor

from avs.core.errors import AvsError
from avs.features.preprocess import Geometry, Preprocessing, read_preprocessing, write_preprocessing

# (H, W): landscape, portrait, square, odd sizes whose rounding and centre are not obvious, smaller than the target.
SOURCES = [(360, 640), (240, 320), (641, 363), (225, 225), (224, 224), (101, 77), (33, 250), (480, 853)]
LOWER_AND_WIDER = (101, 77)  # made a square of 96: Pillow 13 resizes such a picture's columns before its rows


def pictures(kind: str, height: int, width: int) -> np.ndarray:
    """(2, H, W, 3) uint8: noise, or smooth shading with hard edges as in real frames."""
    generator = np.random.default_rng(height * width)
    if kind == "noise":
        return generator.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    rows, columns = np.mgrid[0:height, 0:width]
    shade = 127 + 90 * np.sin(rows / 23)[..., None] * np.cos(columns[..., None] / np.array([17, 31, 43]))
    shade[height // 4 : height // 2, width // 3 : width // 2] = (250, 20, 5)
    return np.stack([shade, shade[::-1]]).astype(np.uint8)


def reference(processor: object, frames: np.ndarray) -> np.ndarray:
    """What a transformers processor makes of the frames, brought back to 0..255."""
    pixels = processor(list(frames), return_tensors="np", do_rescale=False, do_normalize=False)  # type: ignore[operator]
    return np.asarray(pixels["pixel_values"], dtype=np.float64)


def pil_processor(family: str, **settings: object) -> object:
    """The Pillow processor class, whose name changed with transformers 5."""
    import importlib

    try:
        module = importlib.import_module(f"transformers.models.{family.lower()}.image_processing_pil_{family.lower()}")
        return getattr(module, f"{family}ImageProcessorPil")(**settings)
    except ModuleNotFoundError:
        module = importlib.import_module(f"transformers.models.{family.lower()}.image_processing_{family.lower()}")
        return getattr(module, f"{family}ImageProcessor")(**settings)


@pytest.mark.parametrize("kind", ["noise", "shading"])
@pytest.mark.parametrize("shape", SOURCES, ids=str)
def test_clip_geometry_is_within_two_levels_of_transformers(kind: str, shape: tuple[int, int]) -> None:
    frames = pictures(kind, *shape)
    processor = pil_processor("CLIP", size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224})
    ours = Geometry(224, 224, "bicubic").apply(frames)
    assert ours.shape == (2, 3, 224, 224) and ours.dtype == np.uint8 and ours.flags.c_contiguous
    assert np.abs(ours - reference(processor, frames)).max() <= 2


@pytest.mark.parametrize("kind", ["noise", "shading"])
@pytest.mark.parametrize("shape", [shape for shape in SOURCES if shape != LOWER_AND_WIDER], ids=str)
def test_blip_geometry_is_within_two_levels_of_transformers(kind: str, shape: tuple[int, int]) -> None:
    frames = pictures(kind, *shape)
    ours = Geometry(96, None, "bicubic").apply(frames)
    assert np.abs(ours - reference(pil_processor("Blip", size={"height": 96, "width": 96}), frames)).max() <= 2


def test_rows_are_resized_before_columns() -> None:
    from PIL import Image

    frames = pictures("noise", *LOWER_AND_WIDER)
    ours = Geometry(96, None, "bicubic").apply(frames)
    for frame, image in zip(frames, ours, strict=True):
        wide = Image.fromarray(frame).resize((96, len(frame)), Image.Resampling.BICUBIC)
        expected = np.asarray(wide.resize((96, 96), Image.Resampling.BICUBIC), dtype=np.int64).transpose(2, 0, 1)
        assert np.abs(image - expected).max() <= 2


def test_a_crop_smaller_than_the_edge_takes_the_centre() -> None:
    frames = pictures("shading", 300, 401)
    processor = pil_processor("CLIP", size={"shortest_edge": 64}, crop_size={"height": 49, "width": 49})
    ours = Geometry(49, 64, "bicubic").apply(frames)
    assert np.abs(ours - reference(processor, frames)).max() <= 2


def test_no_frames_give_no_images() -> None:
    assert Geometry(32, 32, "bicubic").apply(np.empty((0, 9, 9, 3), dtype=np.uint8)).shape == (0, 3, 32, 32)


def test_frames_are_not_written_to() -> None:
    frames = pictures("noise", 32, 32)
    before = frames.copy()
    images = Geometry(32, None, "bicubic").apply(frames)
    images[:] = 0
    assert (frames == before).all()


@pytest.mark.parametrize(
    ("config", "shortest_edge", "expected"),
    [
        ({"size": 224, "do_center_crop": True, "crop_size": 224}, True, Geometry(224, 224, "bicubic")),
        ({"size": 384}, False, Geometry(384, None, "bicubic")),
        ({"size": {"height": 364, "width": 364}, "resample": 2}, False, Geometry(364, None, "bilinear")),
        (
            {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
            True,
            Geometry(224, 256, "bicubic"),
        ),
    ],
)
def test_configs_old_and_new_are_read(tmp_path: Path, config: dict, shortest_edge: bool, expected: Geometry) -> None:
    write_processor(tmp_path, **config)
    found = read_preprocessing(tmp_path, shortest_edge=shortest_edge)
    assert found.geometry == expected
    assert (found.mean, found.std) == (tuple(MEAN), tuple(STD))


def test_what_transformers_itself_saves_is_read(tmp_path: Path) -> None:
    pil_processor("CLIP", size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}).save_pretrained(tmp_path)
    assert read_preprocessing(tmp_path, shortest_edge=True).geometry == Geometry(56, 56, "bicubic")


def test_the_nested_config_of_transformers_5_is_read(tmp_path: Path) -> None:
    image = {"size": {"height": 48, "width": 48}, "image_mean": MEAN, "image_std": STD, "resample": 3}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": image, "processor_class": "X"}))
    assert read_preprocessing(tmp_path, shortest_edge=False).geometry == Geometry(48, None, "bicubic")


@pytest.mark.parametrize(
    "config",
    [
        {"size": {"shortest_edge": 224}},  # not square without a crop
        {"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": 256},  # would pad
        {"size": 224, "do_center_crop": True, "crop_size": {"height": 224, "width": 200}},
        {"size": 224, "resample": 0},
        {"size": 224, "rescale_factor": 0.5},
        {"size": 224, "do_resize": False},
    ],
    ids=str,
)
def test_a_step_we_do_not_take_is_refused(tmp_path: Path, config: dict) -> None:
    write_processor(tmp_path, **config)
    with pytest.raises(AvsError, match="not one this project reproduces"):
        read_preprocessing(tmp_path, shortest_edge=True)


def test_a_checkpoint_without_processor_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AvsError, match="has no config that says how its images are preprocessed"):
        read_preprocessing(tmp_path, shortest_edge=True)


@pytest.mark.parametrize(
    "geometry", [Geometry(56, 64, "bicubic"), Geometry(48, 48, "bilinear"), Geometry(8, None, "bicubic")]
)
def test_a_written_preprocessing_is_read_again(tmp_path: Path, geometry: Geometry) -> None:
    written = Preprocessing(geometry, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    write_preprocessing(tmp_path, written)
    for shortest_edge in (False, True):
        assert read_preprocessing(tmp_path, shortest_edge=shortest_edge) == written
