"""Topics: the sentences that shots are ranked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from avs.core.errors import DataError, FormatError, UnknownIdError, did_you_mean
from avs.core.ids import natural_key

QUERY_MODES = ("query", "narrative", "both")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `id` is a string as in the topic file; `narrative` is the longer text some editions add."""

    id: str
    text: str
    narrative: str | None = None
    edition: str | None = None
    task: str | None = None

    def __post_init__(self) -> None:
        if not self.id or any(c.isspace() for c in self.id):
            raise FormatError("a topic id must be a word", got=repr(self.id))
        if not self.text.strip():
            raise FormatError("a topic must have a text", where=f"topic {self.id}")

    def query(self, mode: str = "query") -> str:
        """The text to search with: the sentence, the narrative, or both joined by a space.

        Raises:
            DataError: the mode needs a narrative and the topic has none.
        """
        if mode == "query":
            return self.text
        if mode not in QUERY_MODES:
            raise DataError("unknown query mode", got=repr(mode), wanted=", ".join(QUERY_MODES))
        if self.narrative is None:
            raise DataError(
                f'query mode "{mode}" needs a narrative',
                where=f"topic {self.id}",
                next_step="give the narratives file (--narratives), or use --query-mode query",
            )
        return self.narrative if mode == "narrative" else f"{self.text} {self.narrative}"


class TopicSet(Sequence[Topic]):
    """Topics in natural order of their ids; each id occurs once.

    Raises:
        FormatError: two topics share an id, or there is none.
    """

    def __init__(self, topics: Iterable[Topic]) -> None:
        ordered = sorted(topics, key=lambda t: natural_key(t.id))
        if not ordered:
            raise FormatError("no topics")
        for before, after in zip(ordered, ordered[1:], strict=False):
            if before.id == after.id:
                raise FormatError(
                    "a topic id occurs twice", where=f"topic {after.id}", got=f'"{before.text}" and "{after.text}"'
                )
        self._topics = tuple(ordered)
        self._by_id = {topic.id: topic for topic in ordered}

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._by_id)

    def __len__(self) -> int:
        return len(self._topics)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence's two overloads
        return self._topics[index]

    def get(self, topic_id: str) -> Topic:
        """The topic with this id.

        Raises:
            UnknownIdError: there is none.
        """
        if topic_id not in self._by_id:
            raise UnknownIdError(
                f'unknown topic "{topic_id}"{did_you_mean(topic_id, self._by_id)}', wanted=_span(self.ids)
            )
        return self._by_id[topic_id]


def _span(ids: Sequence[str]) -> str:
    return f"{ids[0]}..{ids[-1]} ({len(ids)} topics)"
