"""An encoder of a few lines that needs no weights: a process that uses it starts quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.artifacts import Manifest
from avs.core.spec import EmbedderSpec
from avs.core.store_parts import SharedWriter
from avs.features.encoding import Target
from avs.features.extract import store_manifest
from avs.features.levels import StoreLevel, parse_level
from avs.features.preprocess import Geometry, Preprocessing
from avs.features.recipe import ExtractionRecipe

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
SPEC = EmbedderSpec("toy", "sha256:0", 3, 4, MEAN, STD, "square", "bicubic", "", "mean", True)


class ToyEmbedder:
    """The mean colour of an image, as a unit vector. An ImageEmbedder, and no more than that."""

    spec = SPEC
    preprocessing = Preprocessing(Geometry(4, None, "bicubic"), MEAN, STD)

    def encode_images(self, images: object) -> np.ndarray:
        colours = np.asarray(images, dtype=np.float32).mean(axis=(2, 3)) + 1
        return colours / np.linalg.norm(colours, axis=1, keepdims=True)


@dataclass(frozen=True)
class ToyEncoder:
    """Stores of ToyEmbedder. A StoreEncoder."""

    name: str = "toy"

    def levels(self, wanted: Sequence[str] | None) -> list[StoreLevel]:
        return [parse_level(level) for level in wanted or ["shot"]]

    def manifest(
        self, level: StoreLevel, recipe: ExtractionRecipe, *, inputs: Mapping[str, str], decoder: str
    ) -> Manifest:
        return store_manifest(SPEC, level, sampling={"policy": "fake"}, inputs=inputs)

    def target(self, writers: Sequence[SharedWriter], *, view: int, device: str, dtype: str) -> Target:
        return Target(ToyEmbedder(), writers, view=view)
