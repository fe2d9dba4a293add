"""What made a vector: two vectors may be compared only when their specs are equal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from avs.core.errors import SpecMismatchError


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A two-tower encoder and everything that decides the numbers it gives.

    Attributes:
        name: catalog name, such as "clip-vit-b32".
        revision: sha256 of the weight files, so a moved folder is the same encoder and a retrained one is not.
        dim: length of its vectors.
        image_size: height and width, in pixels, of what the image tower sees.
        mean, std: per channel, for values in 0..1.
        resize: "shortest-edge-crop" or "square".
        interpolation: of the resize, such as "bicubic".
        activation: of the towers, such as "quick_gelu".
        pooling: how an image becomes one vector, such as "projection" or "query-mean".
        normalised: whether image and text vectors have length 1.
        weights: where they were read from; said, not compared.
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EmbedderSpec:
        return cls(**{**data, "mean": tuple(data["mean"]), "std": tuple(data["std"])})

    def require_same(self, other: EmbedderSpec, *, where: str) -> None:
        """Check that vectors of `other` may be compared with ours.

        Raises:
            SpecMismatchError: naming each field that differs.
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
