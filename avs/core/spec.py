"""The spec of an encoder: two vectors may be compared only when their specs are equal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from avs.core.errors import SpecMismatchError

NEWER = (  # fields that older stores lack
    "trained",
    "layer",
    "crops",
    "clip_frames",
    "clip_interval_s",
    "backend",
    "backend_versions",
)


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """An encoder and everything that decides the numbers of its vectors.

    Attributes:
        name: catalog name, such as "clip-vit-b32".
        revision: sha256 of the weight files, so a moved folder is the same encoder and a retrained one is not.
        dim: length of its vectors.
        image_size: height and width of the images it takes, in pixels; 0 when no encoder is known.
        mean, std: subtracted and divided by, per channel, for values in 0..1.
        resize: how a frame becomes a square image: "shortest-edge-crop" or "square".
        interpolation: of the resize, such as "bicubic".
        activation: activation function of the image tower, such as "quick_gelu".
        pooling: how an image becomes one vector, such as "projection" or "query-mean".
        normalised: whether its vectors have length 1.
        weights: where the weights were read from; recorded, not compared.
        trained: of a model that was trained here: its architecture, and the frames and words that it reads; empty for
            an encoder of the catalog.
        layer: which of a model's layers the vectors are of; "" if the pooling says it.
        crops: which crops of an image are averaged; "": the whole image.
        clip_frames: number of frames in a clip; 0: it encodes images.
        clip_interval_s: seconds between the frames of a clip; 0: not the same for all clips.
        backend: the package whose code computes the vectors, such as "lavis"; "": transformers, or avs itself.
        backend_versions: of the packages of another backend that decide the vectors.
    """

    name: str
    revision: str
    dim: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: str
    interpolation: str
    activation: str
    pooling: str
    normalised: bool
    weights: str = field(default="", compare=False)
    trained: str = ""
    layer: str = ""
    crops: str = ""
    clip_frames: int = 0
    clip_interval_s: float = 0.0
    backend: str = ""
    backend_versions: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields, as manifests record them; newer ones only where they say something, as avs wrote before them."""
        return {key: value for key, value in asdict(self).items() if key not in NEWER or value}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EmbedderSpec:
        """The spec that to_json wrote."""
        return cls(**{**data, "mean": tuple(data["mean"]), "std": tuple(data["std"])})

    def require_same(self, other: EmbedderSpec, *, where: str) -> None:
        """Check that vectors of `other` may be compared with vectors of this spec.

        Args:
            where: place of the vectors or weights of `other`, for the message.

        Raises:
            SpecMismatchError: names each field that differs.
        """
        differing = [f.name for f in fields(self) if f.compare and getattr(self, f.name) != getattr(other, f.name)]
        if differing:
            raise SpecMismatchError(
                f"the encoder does not match the store: {', '.join(differing)} differ",
                where=where,
                got=", ".join(f"{name}={getattr(other, name)}" for name in differing),
                wanted=", ".join(f"{name}={getattr(self, name)}" for name in differing),
                next_step="encode the topics with the model the store was made with (`avs info STORE` names it)",
            )
