"""The entries of `text:` in a training config: a name such as `bow`, or a mapping of options."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from avs.core.errors import ConfigError, Problems, did_you_mean
from avs.features.catalog import read_catalog

KINDS = ("bow", "word2vec", "gru", "bigru", "concepts")


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BagOfWordsOptions(_Options):
    """Bag of words.

    Attributes:
        name: of the feature; None: its kind.
        threshold: a word is known when it occurs so often in the training captions.
        remove_stop_words: whether stop words are left out.
        norm: "none": counts; "l2": scaled to length 1.
    """

    kind: Literal["bow"]
    name: str | None = None
    threshold: int = Field(default=5, ge=1)
    remove_stop_words: bool = True
    norm: Literal["none", "l2"] = "none"


class Word2VecOptions(_Options):
    """Mean of word vectors.

    Attributes:
        name: of the feature; None: its kind.
        path: of the vectors, see `avs.features.word_vectors.open_word_vectors`.
        remove_stop_words: whether stop words are left out.
    """

    kind: Literal["word2vec"]
    path: Path
    name: str | None = None
    remove_stop_words: bool = True


class RecurrentOptions(_Options):
    """GRU or biGRU over words, trained with the model.

    Attributes:
        name: of the feature; None: its kind.
        threshold: a word is known when it occurs so often in the training captions.
        embedding: dimension of a word.
        hidden: dimension of the GRU's state, in each direction.
        words: word vectors that the embeddings start from; None: at random.
    """

    kind: Literal["gru", "bigru"]
    name: str | None = None
    threshold: int = Field(default=5, ge=1)
    embedding: int = Field(default=500, ge=1)
    hidden: int = Field(default=1024, ge=1)
    words: Path | None = None


class ConceptOptions(_Options):
    """Concept labels for the hybrid space of Dual Encoding; name them in the model's `concepts`.

    Attributes:
        name: of the feature; None: its kind.
        size: so many of the most frequent content words.
    """

    kind: Literal["concepts"]
    name: str | None = None
    size: int = Field(default=512, ge=1)


class EncoderOptions(_Options):
    """Text tower of an extractor.

    Attributes:
        model: its catalog name, which is the feature's too.
        weights: a checkpoint folder, or `org/name[@revision]` on the Hub; None: what the catalog says.
        pooling: of its images, which is part of its spec; None: the family's first.
    """

    kind: Literal["encoder"]
    model: str
    weights: str | None = None
    pooling: str | None = None

    @field_validator("model")
    @classmethod
    def _in_catalog(cls, model: str) -> str:
        known = (*KINDS, *read_catalog())
        if model not in known:
            raise ValueError(f'no text feature "{model}"{did_you_mean(model, known)}')
        return model

    @property
    def name(self) -> str:
        return self.model


def _from_name(entry: object) -> object:
    if not isinstance(entry, str):
        return entry
    return {"kind": entry} if entry in KINDS else {"kind": "encoder", "model": entry}


TextOptions = Annotated[
    Annotated[
        BagOfWordsOptions | Word2VecOptions | RecurrentOptions | ConceptOptions | EncoderOptions,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_from_name),
]
"""Type of a `text:` entry in a pydantic model."""


def text_feature_name(options: Any) -> str:
    """What the feature of some TextOptions is called."""
    return str(options.name or options.kind)


def parse_text_options(entries: Sequence[Any], *, where: object = "text") -> list[Any]:
    """The TextOptions of a list of names and mappings, such as ["bow", {"kind": "word2vec", "path": "vec.bin"}].

    Raises:
        ConfigError: entries that are not understood, or two features of one name; all of them at once.
    """
    problems, parsed = Problems("text features"), []
    for number, entry in enumerate(entries, start=1):
        try:
            parsed.append(TypeAdapter(TextOptions).validate_python(entry))
        except ValidationError as error:
            for item in error.errors():
                place = "".join(f"{part}: " for part in item["loc"][1:])
                problems.add(f"{where}, entry {number}", place + item["msg"].removeprefix("Value error, "))
    names = Counter(text_feature_name(options) for options in parsed)
    for name in (name for name, count in names.items() if count > 1):
        problems.add(where, f'{names[name]} features are called "{name}"; tell them apart with `name:`')
    problems.raise_if_any(ConfigError)
    return parsed
