"""What a text feature is, and the registry in which each one files itself under its kind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from avs.core.columns import Column
from avs.core.registry import Registry


class TextFeature(Protocol):
    """One feature of sentences.

    Attributes:
        name: such as "bow", "gru", or the catalog name of an encoder.
        dim: length of its vector; for words as numbers (gru, bigru) the size of the vocabulary.
    """

    @property
    def name(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def columns(self, texts: Sequence[str]) -> tuple[Column, np.ndarray | None]:
        """The feature of N texts, and (N,) bool which of them have it; None when all do."""
        ...

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """For each text, the distinct words that the feature cannot use."""
        ...

    def to_json(self) -> dict[str, Any]:
        """All that `from_json` needs, vocabularies included; "kind" is the registered name."""
        ...


class TextFeatureOptions(BaseModel):
    """The options of a text feature in a training config; a subclass adds its own.

    Attributes:
        kind: the registered name of the feature.
        name: what this feature is called; None: its kind.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    name: str | None = None

    def inputs(self) -> dict[str, str]:
        """Name -> fingerprint of the files that the feature is made from, for the manifest of a training."""
        return {}


class TextFeatureClass(Protocol):
    """What is registered: the class of a text feature.

    Attributes:
        options: the model of its options.
    """

    @property
    def options(self) -> type[BaseModel]: ...

    def build(self, options: Any, texts: Sequence[str], *, device: str, dtype: str, legacy: bool) -> TextFeature:
        """The feature that `options` describe; see avs.features.text.build_text_feature."""
        ...

    def from_json(self, data: dict[str, Any], *, path: str | Path | None, device: str, dtype: str) -> TextFeature:
        """The feature that `to_json` described; see avs.features.text.text_feature_from_json."""
        ...


text_features: Registry[TextFeatureClass] = Registry("text feature")
