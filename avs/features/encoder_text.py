"""The text tower of an extractor, such as CLIP's, as a text feature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.core.columns import VectorColumn
from avs.core.spec import EmbedderSpec
from avs.features.embedder import load_embedder_for

if TYPE_CHECKING:
    from avs.features.embedder import TextEmbedder


class EncoderText:
    """Vectors of an extractor's text tower, of length 1.

    Attributes:
        spec: of the extractor.
        weights: where its weights lie now; None: where `spec` says.
        device, dtype: it computes on and in.
    """

    def __init__(
        self,
        spec: EmbedderSpec,
        *,
        weights: str | Path | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.spec, self.weights, self.device, self.dtype = spec, weights, device, dtype
        self._embedder: TextEmbedder | None = None
        self._last: tuple[tuple[str, ...], VectorColumn] = ((), VectorColumn(np.zeros((0, spec.dim), np.float32)))

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.spec.dim

    @property
    def embedder(self) -> TextEmbedder:
        """The extractor, loaded when first needed.

        Raises:
            SpecMismatchError: the weights found are not those of `spec`.
        """
        if self._embedder is None:
            self._embedder = load_embedder_for(self.spec, weights=self.weights, device=self.device, dtype=self.dtype)
        return self._embedder

    def columns(self, texts: Sequence[str]) -> tuple[VectorColumn, None]:
        """The (N, dim) float32 vectors of N texts; every text has one. Equal texts are encoded once.

        Asked for the same texts again, as the many models of a search do, it answers what it did.
        """
        if tuple(texts) != self._last[0]:
            self._last = tuple(texts), VectorColumn(self._encoded(texts))
        return self._last[1], None

    def _encoded(self, texts: Sequence[str]) -> np.ndarray:
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        distinct = self.embedder.encode_texts(list(place))
        return distinct if len(place) == len(texts) else distinct[[place[text] for text in texts]]

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """Nothing: its tokenizer spells out words it does not know."""
        return [[] for _ in texts]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "encoder", "name": self.name, "spec": self.spec.to_json()}

    @classmethod
    def from_json(
        cls, data: dict[str, Any], *, weights: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
    ) -> EncoderText:
        return cls(EmbedderSpec.from_json(data["spec"]), weights=weights, device=device, dtype=dtype)
