"""The text tower of an encoder, such as CLIP's, or the text side of a trained model, as a text feature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from avs.core.columns import VectorColumn
from avs.core.errors import did_you_mean
from avs.core.list_files import is_trained_model, model_name
from avs.core.spec import EmbedderSpec
from avs.features.catalog import read_catalog
from avs.features.embedder import family_of, load_embedder_for, read_spec
from avs.features.text.registry import text_features

if TYPE_CHECKING:
    from avs.features.embedder import TextEmbedder


class EncoderOptions(BaseModel):
    """Options of the text tower of an encoder.

    Attributes:
        model: its catalog name, which is the name of the feature too; or the folder of a trained model, whose name is
            that of the feature.
        weights: a checkpoint folder, or `org/name[@revision]` on the Hub; None: what the catalog says.
        pooling: of its images, which is part of its spec; None: the family's first.
        unit_length: whether vectors are scaled to length 1; false: as the tower gives them, as in LAFF's own code.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["encoder"]
    model: str
    weights: str | None = None
    pooling: str | None = None
    unit_length: bool = True

    @field_validator("model")
    @classmethod
    def _has_text_tower(cls, model: str) -> str:
        catalog = read_catalog()
        is_path = Path(model).parent != Path()  # of a model that may yet have to be trained
        if model not in catalog and (is_path or is_trained_model(Path(model))):
            if model_name(Path(model)) in catalog:
                raise ValueError(f"{model} has the name of an encoder of the catalog: rename its folder")
            return model
        if model not in catalog:
            raise ValueError(f'no text feature "{model}"{did_you_mean(model, (*text_features, *catalog))}')
        if not family_of(model).text_tower:
            raise ValueError(f"{model} has no text tower, so it is no text feature")
        return model

    @model_validator(mode="after")
    def _has_own_weights(self) -> EncoderOptions:
        if self.name != self.model and (self.weights or self.pooling):
            raise ValueError(f"{self.model} is a trained model with weights of its own: leave out weights and pooling")
        return self

    @property
    def name(self) -> str:
        return self.model if self.model in read_catalog() else model_name(Path(self.model))


@text_features.register("encoder")
class EncoderText:
    """Vectors of an encoder's text tower.

    Attributes:
        spec: of the encoder.
        weights: current location of its weights; None: where `spec` says.
        unit_length: whether its vectors are scaled to length 1.
        device, dtype: what it computes on and in.
    """

    options: ClassVar[type[BaseModel]] = EncoderOptions

    def __init__(
        self,
        spec: EmbedderSpec,
        *,
        weights: str | Path | None = None,
        unit_length: bool = True,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.spec, self.weights, self.unit_length, self.device, self.dtype = spec, weights, unit_length, device, dtype
        self._embedder: TextEmbedder | None = None
        self._last: tuple[tuple[str, ...], VectorColumn] = ((), VectorColumn(np.zeros((0, spec.dim), np.float32)))

    @classmethod
    def build(cls, options: EncoderOptions, texts: Sequence[str], *, device: str, dtype: str, **_: bool) -> EncoderText:
        spec = read_spec(options.model, weights=options.weights, pooling=options.pooling)
        return cls(spec, weights=options.weights, unit_length=options.unit_length, device=device, dtype=dtype)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.spec.dim

    @property
    def embedder(self) -> TextEmbedder:
        """The encoder, loaded when first needed.

        Raises:
            SpecMismatchError: the weights are not those of `spec`.
        """
        if self._embedder is None:
            self._embedder = load_embedder_for(self.spec, weights=self.weights, device=self.device, dtype=self.dtype)
        return self._embedder

    def columns(self, texts: Sequence[str]) -> tuple[VectorColumn, None]:
        """The (N, dim) float32 vectors of N texts; every text has one. Equal texts are encoded once.

        The last answer is kept, since the many models of a search ask for the same texts.
        """
        if tuple(texts) != self._last[0]:
            self._last = tuple(texts), VectorColumn(self._encoded(texts))
        return self._last[1], None

    def _encoded(self, texts: Sequence[str]) -> np.ndarray:
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        distinct = self.embedder.encode_texts(list(place), unit_length=self.unit_length)
        return distinct if len(place) == len(texts) else distinct[[place[text] for text in texts]]

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """No words, since its tokenizer spells out what it does not know."""
        return [[] for _ in texts]

    def to_json(self) -> dict[str, Any]:
        scaled = {} if self.unit_length else {"unit_length": False}  # as avs wrote it before there was a choice
        return {"kind": "encoder", "name": self.name, "spec": self.spec.to_json(), **scaled}

    @classmethod
    def from_json(
        cls, data: dict[str, Any], *, path: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
    ) -> EncoderText:
        spec, unit_length = EmbedderSpec.from_json(data["spec"]), data.get("unit_length", True)
        return cls(spec, weights=path, unit_length=unit_length, device=device, dtype=dtype)
