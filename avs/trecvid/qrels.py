"""NIST's judgments: five fields per line, `topic 0 shot stratum judgment`, with a "1" before the topic id."""

from __future__ import annotations

import logging
import re
from itertools import groupby
from pathlib import Path

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import FormatError, Problems
from avs.core.ids import topic_id_from_qrels
from avs.core.qrels import UNJUDGED, Qrels, TopicQrels
from avs.trecvid.file_kind import QRELS, refuse_other_kind

STRATIFIED, PLAIN = 5, 4
NEXT_STEP = "a line is: topic 0 shot stratum judgment"
PREFIXED = re.compile(r"1\d{3}")
UNPREFIXED = re.compile(r"\d{3}")
WHOLE = re.compile(r"-?[0-9]{1,9}")

log = logging.getLogger(__name__)


def read_qrels(path: Path) -> Qrels:
    """The judgments of a file, with topics in its order; the form of shot ids is not checked.

    If every topic id of the file has four digits and begins with "1", that digit is removed (1661 -> 661). Otherwise
    all ids stay as they are. A file of four columns, `topic 0 shot judgment`, is one stratum, fully judged.

    A repeated line is kept twice, with a warning: sample_eval.pl counts it twice in its stratum, and scores must not
    depend on the tool that reads the file.

    Raises:
        FormatError: a run or a topic file; no lines, lines with another number of fields, strata or judgments that are
            not whole numbers or are below -1, ids with and without the "1", two judgments of a shot (both lines named);
            all at once.
    """
    path = Path(path)
    text = _decode(path)
    fields, width = _split(path, text)
    topics, shots = fields[0::width], fields[2::width]
    judgments = _integers(path, text, fields[width - 1 :: width], "judgment")
    strata = _integers(path, text, fields[3::width], "stratum") if width == STRATIFIED else np.ones_like(judgments)
    _check_judgments(path, text, judgments, plain=width == PLAIN)
    order, bounds = _group(topics)
    if order is not None:
        shots, strata, judgments = [shots[i] for i in order], strata[order], judgments[order]
    names = _plain_ids(path, list(bounds))
    pools: dict[str, TopicQrels] = {}
    repeated = False
    for topic, (start, stop) in bounds.items():
        pool = tuple(shots[start:stop])
        pools[names[topic]] = TopicQrels(names[topic], pool, strata[start:stop], judgments[start:stop])
        repeated = repeated or len(set(pool)) < len(pool)
    if repeated:
        _check_duplicates(path, text, width)
    return Qrels(pools)


def topic_prefix(path: Path, qrels: Qrels) -> str:
    """What a qrels file has before the topic ids: "1", or nothing.

    Args:
        qrels: the judgments that were read from the file.
    """
    with open(path, encoding="utf-8-sig") as file:
        first = next(words[0] for line in file if (words := line.split()))
    return "" if first in qrels.topics else "1"


def _decode(path: Path) -> str:
    data = require_path(path, what="qrels file").read_bytes()
    if not data.strip():
        raise FormatError("the qrels file is empty", where=path, next_step=NEXT_STEP)
    refuse_other_kind(data, QRELS, path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("the qrels file is not UTF-8 text", where=path, got=str(error)) from error


def _split(path: Path, text: str) -> tuple[list[str], int]:
    """All fields of all lines, and the number of fields per line."""
    width = len(text[: text.find("\n") + 1].split()) or len(text.split("\n", 1)[0].split())
    fields = text.split()
    line_count = text.count("\n") + (not text.endswith("\n"))
    # Splitting the whole text at once is several times faster than splitting each line. A missing field shifts the
    # columns, so the second one is no longer constant. In that case, or if the counts differ, each line is checked.
    if width in (STRATIFIED, PLAIN) and len(fields) == width * line_count and set(fields[1::width]) == {"0"}:
        return fields, width
    width = PLAIN if width == PLAIN else STRATIFIED
    problems = Problems(f"qrels file {path}")
    fields = []
    for number, parts in _lines(text):
        if len(parts) != width:
            problems.add(f"{path}:{number}", f"expected {width} fields, got {len(parts)}")
        fields += parts
    problems.raise_if_any(FormatError, next_step=NEXT_STEP)
    return fields, width


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """The line number and the fields of every line that is not empty."""
    return [(n, parts) for n, line in enumerate(text.split("\n"), start=1) if (parts := line.split())]


def _integers(path: Path, text: str, column: list[str], name: str) -> np.ndarray:
    """(lines,) int64; each distinct value is converted once."""
    words = set(column)
    bad = {word for word in words if WHOLE.fullmatch(word) is None}
    if bad:
        problems = Problems(f"qrels file {path}")
        for (number, _), word in zip(_lines(text), column, strict=True):
            if word in bad:
                problems.add(f"{path}:{number}", f'the {name} "{word}" is not a whole number')
        problems.raise_if_any(FormatError, next_step=NEXT_STEP)
    value = {word: int(word) for word in words}
    return np.fromiter(map(value.__getitem__, column), dtype=np.int64, count=len(column))


def _check_judgments(path: Path, text: str, judgments: np.ndarray, *, plain: bool) -> None:
    lowest = 0 if plain else UNJUDGED
    if judgments.min() >= lowest:
        return
    problems = Problems(f"qrels file {path}")
    lines = _lines(text)
    for row in np.flatnonzero(judgments < lowest).tolist():
        reason = "needs a stratum (five columns)" if plain and judgments[row] == UNJUDGED else "is below -1"
        problems.add(f"{path}:{lines[row][0]}", f"the judgment {judgments[row]} {reason}")
    problems.raise_if_any(FormatError, next_step=NEXT_STEP)


def _group(topics: list[str]) -> tuple[np.ndarray | None, dict[str, tuple[int, int]]]:
    """An order that puts the lines of a topic together (None if they are already), and its start and stop."""
    runs = [(topic, sum(1 for _ in group)) for topic, group in groupby(topics)]
    sizes: dict[str, int] = {}
    for topic, size in runs:
        sizes[topic] = sizes.get(topic, 0) + size
    number = {topic: i for i, topic in enumerate(sizes)}
    order = None
    if len(sizes) < len(runs):
        order = np.argsort([number[topic] for topic in topics], kind="stable")
    stops = np.cumsum(list(sizes.values())).tolist()
    return order, {topic: (stop - size, stop) for (topic, size), stop in zip(sizes.items(), stops, strict=True)}


def _plain_ids(path: Path, topics: list[str]) -> dict[str, str]:
    prefixed = [topic for topic in topics if PREFIXED.fullmatch(topic)]
    if len(prefixed) == len(topics):
        return {topic: topic_id_from_qrels(topic) for topic in topics}
    unprefixed = [topic for topic in topics if UNPREFIXED.fullmatch(topic)]
    if prefixed and unprefixed:
        raise FormatError(
            'topic ids with and without a leading "1" are mixed', where=path, got=f"{unprefixed[0]} and {prefixed[0]}"
        )
    return {topic: topic for topic in topics}


def _check_duplicates(path: Path, text: str, width: int) -> None:
    """Refuse shots with two different judgments, and warn of repeated lines."""
    problems = Problems(f"qrels file {path}")
    first: dict[tuple[str, str], tuple[int, list[str]]] = {}
    same = 0
    for number, parts in _lines(text):
        before, judged = first.setdefault((parts[0], parts[2]), (number, parts[3:]))
        if before == number:
            continue
        if judged == parts[3:]:
            same += 1
        else:
            both = " and ".join(" ".join(words) for words in (judged, parts[3:]))
            columns = "judgment" if width == PLAIN else "stratum and judgment"
            problems.add(
                f"{path}:{number}",
                f"{parts[2]} of topic {parts[0]} is on line {before} with another {columns}: {both}",
            )
    problems.raise_if_any(FormatError)
    log.warning("%s: %d repeated lines; each counts twice in its stratum, as in sample_eval.pl", path, same)
