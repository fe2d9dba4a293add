"""The words of sentences, and the words that are known: those that are frequent enough in the training captions."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

import numpy as np

from avs.core.errors import DataError

START, END, UNKNOWN = "<start>", "<end>", "<unk>"
MARKS = (START, END, UNKNOWN)
WORD = re.compile(r"[^\W_]+")

# Words of grammar, collected by word class for captions. Unlike lists made for news, it keeps what can be seen:
# numbers ("two"), places ("front", "under"), "not", and nouns such as "fire".
STOP_WORDS = frozenset(
    """
    a an the this that these those each every any some such both either neither other another same own
    i me my mine myself you your yours yourself he him his himself she her hers herself it its itself
    we us our ours ourselves they them their theirs themselves who whom whose which what there here
    am is are was were be been being do does did doing done have has had having
    will would shall should can could may might must
    and or but nor so yet if then than as while when where because although though until unless since whether how why
    of to in on at by for from with about into onto upon via per
    very too also just only even still quite rather again ever already now
    s t d m ll re ve
    """.split()
)


def tokenise(text: str) -> list[str]:
    """The words of a text in lower case; anything that is neither a letter nor a digit separates words.

    Source: the tokeniser of RUC's W2VV++ and LAFF code. Theirs knows only the letters a-z; here "café" is one word.
    """
    if not text.isascii():
        text = normalize("NFC", text)
    return WORD.findall(text.lower())


def content_words(text: str, stop_words: Collection[str] = STOP_WORDS) -> list[str]:
    """The words of a text without stop words."""
    return [word for word in tokenise(text) if word not in stop_words]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The known words, numbered.

    Attributes:
        words: number -> word.
        remove_stop_words: whether stop words of a text are skipped, rather than unknown.
        start_end: whether sentences get START and END, and unknown words become UNKNOWN rather than nothing;
            these three are the first `words`.
    """

    words: tuple[str, ...]
    remove_stop_words: bool = False
    start_end: bool = False
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {word: number for number, word in enumerate(self.words)})

    @classmethod
    def build(
        cls, texts: Iterable[str], *, threshold: int = 5, remove_stop_words: bool = False, start_end: bool = False
    ) -> Vocabulary:
        """The words that occur at least `threshold` times in `texts`, by frequency and then by alphabet.

        Raises:
            DataError: no word is that frequent.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(tokenise(text))
        kept = [word for word, n in counts.items() if n >= threshold and not (remove_stop_words and word in STOP_WORDS)]
        if not kept:
            raise DataError(
                "no word of the captions is frequent enough for a vocabulary",
                got=f"{len(counts)} distinct words, the most frequent {max(counts.values(), default=0)} times",
                wanted=f"words that occur {threshold} times",
                next_step="lower the feature's `threshold`",
            )
        words = sorted(kept, key=lambda word: (-counts[word], word))
        return cls(tuple([*MARKS, *words] if start_end else words), remove_stop_words, start_end)

    def __len__(self) -> int:
        return len(self.words)

    def tokens(self, text: str) -> list[str]:
        """The words of a text, known or not, without the stop words that are skipped."""
        return content_words(text) if self.remove_stop_words else tokenise(text)

    def unknown(self, text: str) -> list[str]:
        """The distinct words of a text that are not in the vocabulary, in order of appearance."""
        return [word for word in dict.fromkeys(self.tokens(text)) if word not in self.index]

    def numbers(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N+1,) int64 offsets and (M,) int64 numbers: text i's words are numbers[offsets[i]:offsets[i+1]]."""
        numbers, ends = array("q"), array("q", [0])
        for text in texts:
            numbers.extend(self._numbers_of(text))
            ends.append(len(numbers))
        return np.array(ends, dtype=np.int64), np.array(numbers, dtype=np.int64)

    def _numbers_of(self, text: str) -> list[int]:
        index = self.index
        if not self.start_end:
            return [index[word] for word in self.tokens(text) if word in index]
        unknown = index[UNKNOWN]
        return [index[START], *(index.get(word, unknown) for word in self.tokens(text)), index[END]]

    def to_json(self) -> dict[str, Any]:
        return {
            "words": list(self.words),
            "remove_stop_words": self.remove_stop_words,
            "start_end": self.start_end,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Vocabulary:
        return cls(tuple(data["words"]), data["remove_stop_words"], data["start_end"])
