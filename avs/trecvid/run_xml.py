"""Run submissions in NIST's XML, with one `videoAdhocSearchRunResult` per run.

Reading accepts missing and unknown attributes, so that runs of every year and tool can be scored. `avs.trecvid.check`
is strict.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import DataError, FormatError, Problems
from avs.core.ids import some
from avs.core.ranking import RankedList, Run
from avs.trecvid.editions import Edition
from avs.trecvid.file_kind import RUN as RUN_FILE
from avs.trecvid.file_kind import refuse_other_kind
from avs.trecvid.secure_xml import parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

CONTAINER, RUN, TOPIC, ITEM = (
    "videoAdhocSearchResults",
    "videoAdhocSearchRunResult",
    "videoAdhocSearchTopicResult",
    "item",
)
WHOLE = re.compile(r"[0-9]{1,9}")
BEST_SCORE = 9999  # a run in XML has only ranks; its scores are 9999 - seqNum, as is usual with sample_eval.pl


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a shot was returned: a box (in pixels from the upper left corner) in the frame at a time of the video."""

    time_s: float
    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if self.time_s < 0 or not (0 <= self.left < self.right and 0 <= self.top < self.bottom):
            raise DataError(
                "a box needs time >= 0, 0 <= left < right and 0 <= top < bottom",
                got=(self.time_s, self.left, self.top, self.right, self.bottom),
            )

    @property
    def attributes(self) -> dict[str, str]:
        """As NIST's DTD names them."""
        box = {"ulX": self.left, "ulY": self.top, "lrX": self.right, "lrY": self.bottom}
        return {"timeStamp": f"{self.time_s:g}", **{name: str(value) for name, value in box.items()}}


@dataclass(frozen=True, slots=True)
class Item:
    """One result: its rank from 1, the shot, and its other attributes as written."""

    seq_num: int
    shot: str
    extra: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicResult:
    """The results of one topic, in the order of the file, and the seconds of the search as written."""

    topic: str
    elapsed_time: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class XmlRun:
    """A run as submitted: its attributes as written and its results."""

    attributes: Mapping[str, str]
    results: tuple[TopicResult, ...]
    name: str

    @property
    def columns(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Topic id -> shots and (N,) float64 scores, 9999 - seqNum, as `read_trec_columns` returns them."""
        return {
            result.topic: (
                [item.shot for item in result.items],
                np.array([BEST_SCORE - item.seq_num for item in result.items], dtype=np.float64),
            )
            for result in self.results
        }

    @property
    def run(self) -> Run:
        """The run as ranked lists.

        Raises:
            DataError: a shot is repeated in a topic.
        """
        lists = {
            topic: RankedList.from_scores(topic, shots, scores, limit=len(shots))
            for topic, (shots, scores) in self.columns.items()
        }
        return Run(lists, self.name, dict(self.attributes))


def read_run_xml(path: Path) -> list[XmlRun]:
    """Every run of a submission file. The name of a run is the file's stem, with `#2`, `#3` ... after the first.

    Raises:
        FormatError: not XML, no run inside, a topic that is repeated or has no number, an item without seqNum or
            shotId, a seqNum that is not a whole number; all at once, each with file and line.
    """
    path = Path(path)
    data = require_path(path, what="run file").read_bytes()
    refuse_other_kind(data, RUN_FILE, path)
    root = parse_xml(data, str(path))
    problems = Problems(f"run file {path}")
    elements = [root] if root.tag == RUN else root.findall(RUN)
    if not elements:
        problems.add(f"{path}:{root.sourceline}", f"<{root.tag}> has no <{RUN}>")
    runs = [
        XmlRun(
            dict(element.attrib),
            tuple(_topic_results(element, path, problems)),
            path.stem if number == 1 else f"{path.stem}#{number}",
        )
        for number, element in enumerate(elements, start=1)
    ]
    problems.raise_if_any(FormatError, next_step="`avs check-run` lists all faults")
    return runs


def _topic_results(run: _Element, path: Path, problems: Problems) -> Iterator[TopicResult]:
    seen: set[str] = set()
    for element in run.findall(TOPIC):
        where = f"{path}:{element.sourceline}"
        topic = element.get("tNum", "").strip()
        if not topic or topic in seen:
            problems.add(where, f"topic {topic} is repeated" if topic else "a topic without tNum")
        seen.add(topic)
        items = []
        for item in element.iterfind(ITEM):
            seq_num, shot = item.get("seqNum", ""), item.get("shotId", "").strip()
            if not shot or not WHOLE.fullmatch(seq_num):
                what = f'seqNum "{seq_num}" is not a whole number' if shot else "an item without shotId"
                problems.add(f"{path}:{item.sourceline}", what)
                continue
            items.append(Item(int(seq_num), shot, {k: v for k, v in item.items() if k not in ("seqNum", "shotId")}))
        yield TopicResult(topic, element.get("elapsedTime", ""), tuple(items))


def render_run_xml(
    run: Run,
    edition: Edition,
    attributes: Mapping[str, str],
    *,
    elapsed_s: Mapping[str, int],
    explanations: Mapping[tuple[str, str], Explanation] | None = None,
) -> bytes:
    """The submission file of a run for one edition: its DOCTYPE, its attributes in the order of the DTD, seqNum from 1.

    Args:
        run: its topics are written in its order; they are not checked (see `avs.trecvid.check.check_run`).
        attributes: values by the DTD's names (trType, class, task, novelty, pid, priority, desc, algo).
        elapsed_s: topic -> whole seconds; NIST's checker fails on fractions.
        explanations: (topic, shot) -> box, for editions that accept them.

    Raises:
        DataError: an attribute or explanation that the edition does not have, or a topic without elapsed time.
    """
    known = [attribute.name for attribute in edition.attributes]
    if extra := sorted(set(attributes) - set(known)):
        raise DataError(f"runs of {edition.id} have no attribute {', '.join(extra)}", wanted=", ".join(known))
    boxes = explanations or {}
    if boxes and "timeStamp" not in edition.item_attributes:
        raise DataError(f"runs of {edition.id} cannot have explanations", wanted="tv20 or later")
    if missing := [topic for topic in run.lists if topic not in elapsed_s]:
        raise DataError("topics without elapsed time", got=some(missing))
    written = _attributes({name: attributes[name] for name in known if name in attributes})
    lines = [f'<!DOCTYPE {CONTAINER} SYSTEM "{edition.dtd_url}">', f"<{CONTAINER}>", f"<{RUN}{written}>"]
    for topic, ranked in run.lists.items():
        lines.append(f"<{TOPIC}{_attributes({'tNum': topic, 'elapsedTime': str(int(elapsed_s[topic]))})}>")
        lines += _items(topic, ranked.shots, boxes)
        lines.append(f"</{TOPIC}>")
    lines += [f"</{RUN}>", f"</{CONTAINER}>", ""]
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "\n".join(lines)).encode("utf-8")


def _items(topic: str, shots: Sequence[str], boxes: Mapping[tuple[str, str], Explanation]) -> Iterator[str]:
    for seq_num, shot in enumerate(shots, start=1):
        box = boxes.get((topic, shot))
        extra = _attributes(box.attributes) if box else ""
        yield f'<{ITEM} seqNum="{seq_num}" shotId={quoteattr(shot)}{extra}/>'


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items())
