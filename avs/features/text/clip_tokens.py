"""Token ids of a CLIP's tokenizer, for a model that trains the text tower itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from avs.core.artifacts import fingerprint_content
from avs.core.columns import SequenceColumn
from avs.core.errors import FormatError, SpecMismatchError
from avs.features.family import quiet_transformers
from avs.features.text.registry import TextFeatureOptions, text_features


class ClipTokensOptions(TextFeatureOptions):
    """Options of token ids.

    Attributes:
        tokenizer: folder with the tokenizer of a CLIP.
        max_words: the most tokens of a text, with its start and end.
    """

    kind: Literal["clip-tokens"]
    tokenizer: Path
    max_words: int = Field(default=32, ge=3)

    def inputs(self) -> dict[str, str]:
        files = [
            self.tokenizer / name for name in ("tokenizer.json", "vocab.json") if (self.tokenizer / name).is_file()
        ]
        return {f"tokenizer of {self.name or self.kind}": fingerprint_content(files[0])} if files else {}


@text_features.register("clip-tokens")
class ClipTokens:
    """The start token, the words in pieces, the end token. A longer text is cut before its end token.

    Source: CLIP4Clip, which cuts after `max_words` - 1 tokens and sets the end token. How many texts were cut is
    counted (`cut`).

    Attributes:
        name: of the feature.
        folder: of the tokenizer, read when first needed.
        max_words: as above.
        fingerprint: of the vocabulary and a sentence in tokens; "" until the tokenizer is read.
    """

    options: ClassVar[type[TextFeatureOptions]] = ClipTokensOptions

    def __init__(self, name: str, folder: Path, *, max_words: int, fingerprint: str = "") -> None:
        self.name, self.folder, self.max_words, self._recorded = name, Path(folder), max_words, fingerprint

    @classmethod
    def build(cls, options: ClipTokensOptions, texts: Sequence[str], **_: object) -> ClipTokens:
        return cls(options.name or "clip-tokens", options.tokenizer, max_words=options.max_words)

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer.

        Raises:
            FormatError: the folder has none.
            SpecMismatchError: it is another one than that of the training.
        """
        from transformers import AutoTokenizer

        try:
            with quiet_transformers():
                found = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
        except Exception as error:  # the tokenizers library raises this very class for a damaged file
            raise FormatError(
                "no tokenizer of a CLIP", where=self.folder, got=str(error).splitlines()[0], wanted="tokenizer.json"
            ) from error
        fingerprint = _fingerprint(found)
        if self._recorded not in ("", fingerprint):
            raise SpecMismatchError(
                "the tokenizer is not the one of the training",
                where=self.folder,
                got=fingerprint[:16],
                wanted=self._recorded[:16],
                next_step="put the files of the checkpoint back",
            )
        return found

    @property
    def dim(self) -> int:
        """Size of the vocabulary."""
        return len(self.tokenizer)

    def columns(self, texts: Sequence[str]) -> tuple[SequenceColumn, None]:
        """The token ids of N texts; every text has at least its start and end."""
        rows = self._tokens(texts)
        kept = [row if len(row) <= self.max_words else [*row[: self.max_words - 1], row[-1]] for row in rows]
        offsets = np.cumsum([0, *map(len, kept)])
        return SequenceColumn(np.array([token for row in kept for token in row], dtype=np.int64), offsets), None

    def cut(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than `max_words`."""
        return sum(len(row) > self.max_words for row in self._tokens(texts))

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        tokens: list[list[int]] = self.tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        return tokens

    def unknown_words(self, texts: Sequence[str]) -> list[list[str]]:
        """No words, since the tokenizer spells out what it does not know."""
        return [[] for _ in texts]

    def to_json(self) -> dict[str, Any]:
        """All but the tokenizer itself, which a checkpoint keeps beside its weights."""
        return {
            "kind": "clip-tokens",
            "name": self.name,
            "max_words": self.max_words,
            "fingerprint": _fingerprint(self.tokenizer),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], *, path: str | Path | None = None, **_: object) -> ClipTokens:
        """The same feature again.

        Args:
            path: folder of the tokenizer, in the checkpoint.
        """
        if path is None:
            raise FormatError("token ids need the tokenizer of their checkpoint", got=data["name"])
        return cls(data["name"], Path(path), max_words=data["max_words"], fingerprint=data["fingerprint"])


def _fingerprint(tokenizer: Any) -> str:
    """sha256 of the vocabulary, and of how a sentence is cut into it."""
    sample = tokenizer("Two people's photograph, re-encoded: 1,234 caf\u00e9s!")["input_ids"]
    known = json.dumps([sorted(tokenizer.get_vocab().items()), sample])
    return hashlib.sha256(known.encode()).hexdigest()
