"""A list that something is to be learned from: its judged topics, and the reasons not to."""

from __future__ import annotations

from pathlib import Path

from avs.core.errors import ConfigError, DataError
from avs.core.list_files import fused_before
from avs.core.qrels import Qrels
from avs.core.ranking import Run


def judged_topics(run: Run, judgments: Qrels, file: Path) -> list[str]:
    """The judged topics, in the order of the list.

    Raises:
        DataError: the list lacks some; or its best shots have no relevant one of any.
        ConfigError: the list was itself learned from some.
    """
    missing = [topic for topic in judgments.ids if topic not in run.lists]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            "judged topics that the list does not have",
            where=file,
            got=f"topics {', '.join(missing[:5])}{more}",
            next_step="give a list over these topics, or choose others (--fit-on)",
        )
    learned = fused_before([file]).get(file, set())
    both = [topic for topic in judgments.ids if topic in learned]
    if both:
        raise ConfigError(
            "the list was learned from the judged topics themselves",
            where=file,
            got=f"topics {', '.join(both[:5])}",
            next_step="make it out of fold: avs fuse --study",
        )
    judged = [topic for topic in run.lists if topic in judgments.topics]
    if all(judgments.topics[topic].relevant.isdisjoint(run.lists[topic].shots) for topic in judged):
        raise DataError(
            "the list holds no relevant shot of any judged topic",
            where=file,
            got=f"shots such as {run.lists[judged[0]].shots[0]}",
            wanted=f"such as {judgments.topics[judged[0]].shots[0]}",
            next_step="give the judgments of the collection that was searched; both must number shots alike",
        )
    return judged
