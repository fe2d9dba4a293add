"""The judged topics of a list to learn from, and the reasons to refuse the list."""

from __future__ import annotations

from pathlib import Path

from avs.core.errors import ConfigError, DataError
from avs.core.ids import some
from avs.core.list_files import fused_before
from avs.core.qrels import Qrels
from avs.core.ranking import Run


def judged_topics(run: Run, judgments: Qrels, file: Path) -> list[str]:
    """The judged topics, in the order of the list.

    Args:
        run: the list.
        judgments: judgments of the topics to learn from.
        file: the list's file.

    Raises:
        DataError: the list lacks judged topics, or contains no relevant shot of any of them.
        ConfigError: the list was itself learned from judged topics.
    """
    missing = [topic for topic in judgments.ids if topic not in run.lists]
    if missing:
        raise DataError(
            "judged topics that the list does not have",
            where=file,
            got=f"topics {some(missing)}",
            next_step="give a list over these topics, or choose others (--fit-on)",
        )
    learned = fused_before([file]).get(file, set())
    both = [topic for topic in judgments.ids if topic in learned]
    if both:
        raise ConfigError(
            "the list was learned from the judged topics themselves",
            where=file,
            got=f"topics {some(both)}",
            next_step="make it out of fold: avs fuse --study",
        )
    judged = [topic for topic in run.lists if topic in judgments.topics]
    if all(judgments.topics[topic].relevant.isdisjoint(run.lists[topic].shots) for topic in judged):
        raise DataError(
            "the list contains no relevant shot of any judged topic",
            where=file,
            got=f"shots such as {run.lists[judged[0]].shots[0]}",
            wanted=f"such as {judgments.topics[judged[0]].shots[0]}",
            next_step="give the judgments of the collection that was searched; both must number shots alike",
        )
    return judged
