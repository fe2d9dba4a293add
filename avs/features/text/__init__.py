"""Text features: what a model reads of a sentence. They are made from training captions, or read from a checkpoint.

Each feature is one file here, with its options; a new one is imported below. docs/text_features.md describes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, SerializeAsAny, TypeAdapter, ValidationError

from avs.core.errors import ConfigError, FormatError, Problems, did_you_mean
from avs.features.text import bag_of_words, clip_tokens, concepts, encoder, word2vec, word_ids  # noqa: F401 (they register)
from avs.features.text.registry import TextFeature, TextFeatureOptions, text_features

__all__ = [
    "TextFeature",
    "TextFeatureOptions",
    "TextOptions",
    "build_text_feature",
    "parse_text_options",
    "report_unknown",
    "text_feature_from_json",
    "text_feature_name",
    "text_features",
]


def build_text_feature(
    options: Any, texts: Sequence[str], *, device: str = "cpu", dtype: str = "float32", legacy: bool = False
) -> TextFeature:
    """The text feature of some options, as `parse_text_options` gives them.

    Args:
        texts: the training captions, from which vocabularies are made.
        device, dtype: what an encoder computes on and in.
        legacy: do as the authors' code: a text of unknown words has a vector of zeros rather than no vector, and
            word2vec counts each distinct word once.

    Raises:
        DataError: no word of the captions is frequent enough.
        AvsError: word vectors or weights that do not exist.
    """
    return text_features.get(options.kind).build(options, texts, device=device, dtype=dtype, legacy=legacy)


def text_feature_from_json(
    data: Mapping[str, Any], *, path: str | Path | None = None, device: str = "cpu", dtype: str = "float32"
) -> TextFeature:
    """The text feature that `to_json` described.

    Args:
        path: current location of the word vectors of word2vec, or of the weights of an encoder; None: as recorded.
        device, dtype: what an encoder computes on and in.

    Raises:
        FormatError: a kind that this avs does not know.
        SpecMismatchError: other word vectors (an encoder's weights are compared when the first text is encoded).
        AvsError: there are no word vectors.
    """
    kind = str(data.get("kind"))
    if kind not in text_features:
        raise FormatError("a text feature of an unknown kind", got=kind, wanted=", ".join(text_features))
    return text_features.get(kind).from_json(dict(data), path=path, device=device, dtype=dtype)


def _parse(entry: object) -> BaseModel:
    """The options of one entry: a name such as "bow" or "clip-vit-b32", or a mapping with its kind."""
    if isinstance(entry, BaseModel):
        return entry
    if isinstance(entry, str):
        entry = {"kind": entry} if entry in text_features else {"kind": "encoder", "model": entry}
    if not isinstance(entry, dict):
        raise ValueError("a text feature is a name, or a mapping with its `kind`")
    kind = str(entry.get("kind"))
    if kind not in text_features:
        raise ValueError(f'no text feature "{kind}"{did_you_mean(kind, text_features)}')
    return text_features.get(kind).options.model_validate(entry)


TextOptions = Annotated[SerializeAsAny[BaseModel], BeforeValidator(_parse)]
"""Type of an entry of `text:` in a pydantic model."""


def text_feature_name(options: Any) -> str:
    """What the feature of some options is called."""
    return str(options.name or options.kind)


def parse_text_options(entries: Sequence[Any], *, where: object = "text") -> list[Any]:
    """The options of a list of names and mappings, such as ["bow", {"kind": "word2vec", "path": "vec.bin"}].

    Raises:
        ConfigError: entries that are not understood, or two features of one name; all of them at once.
    """
    problems, parsed = Problems("text features"), list[Any]()
    for number, entry in enumerate(entries, start=1):
        try:
            parsed.append(TypeAdapter(TextOptions).validate_python(entry))
        except ValidationError as error:
            for item in error.errors():
                keys = "".join(f"{key}: " for key in item["loc"])
                problems.add(f"{where}, entry {number}", keys + item["msg"].removeprefix("Value error, "))
    names = Counter(text_feature_name(options) for options in parsed)
    for name, count in names.items():
        if count > 1:
            towers = all(one.kind == "encoder" for one in parsed if text_feature_name(one) == name)
            apart = "rename the folder of one model" if towers else "tell them apart with `name:`"
            problems.add(where, f'{count} features are called "{name}"; {apart}')
    problems.raise_if_any(ConfigError)
    return parsed


def report_unknown(
    features: Sequence[TextFeature], texts: Sequence[str], ids: Sequence[str], *, noun: str = "topic"
) -> list[str]:
    """A line for each word of each text that some features cannot use, in order; none when they know all.

    >>> report_unknown([], ["a dog"], ["731"])
    []
    """
    unknown = {feature.name: feature.unknown_words(texts) for feature in features}
    lines = []
    for row, id in enumerate(ids):
        features_of: dict[str, list[str]] = {}
        for name, words in unknown.items():
            for word in words[row]:
                features_of.setdefault(word, []).append(name)
        for word, names in features_of.items():
            lines.append(f'{noun} {id}: "{word}" is not in the vocabulary of {", ".join(names)}')
    return lines
