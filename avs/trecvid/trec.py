"""TREC run files: six fields per line, `topic 0 shot rank score tag`.

There are two readers: `read_trec_columns` keeps all lines, as NIST's sample_eval.pl reads them; `read_trec` is strict
and returns a `Run`. Neither checks the form of shot ids, because other tools number shots from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from avs.core.artifacts import atomic_write, require_path
from avs.core.errors import DataError, FormatError, Problems
from avs.core.ids import natural_key, topic_id_from_qrels
from avs.core.ranking import RankedList, Run
from avs.trecvid.file_kind import RUN, refuse_other_kind

FIELDS = 6
RANK = re.compile(r"[0-9]{1,18}")
INTEGER = re.compile(r"[+-]?[0-9]+")
LINE_END = "\0"  # a word that no good file has
MAX_EXACT = 2**53  # every integer below it is a float64
NEXT_STEP = "a line is: topic 0 shot rank score tag"


@dataclass(frozen=True, slots=True)
class _Lines:
    """The columns of a run file, one entry per line, and its text."""

    text: str
    topics: list[str]
    shots: list[str]
    ranks: list[str]
    scores: np.ndarray  # (lines,) float64
    written: list[str]  # the scores as written
    tags: list[str]

    def exact_scores(self, rows: np.ndarray) -> np.ndarray:
        """The scores of a topic: float64, or Python integers where float64 could not tell them apart.

        Perl, and so sample_eval.pl, compares integers of 64 bits as integers.
        """
        scores: np.ndarray = self.scores[rows]
        if np.abs(scores).max() < MAX_EXACT or not all(INTEGER.fullmatch(self.written[i]) for i in rows):
            return scores
        integers = [int(self.written[i]) for i in rows]
        in_64_bits = -(2**63) <= min(integers) and max(integers) < 2**64
        return np.array(integers, dtype=object) if in_64_bits else scores


def read_trec_columns(path: Path) -> dict[str, tuple[list[str], np.ndarray]]:
    """A run file as written: topic id -> its shots and their (N,) scores, in the order of lines.

    Scores are float64; those of a topic whose integers float64 could not tell apart are Python integers.

    Nothing is sorted, merged or renamed: duplicate shots, and a "1" before topic ids, stay. Measures that agree with
    sample_eval.pl need this, because the tool uses the last of two lines of a shot.

    Raises:
        FormatError: a qrels or topic file; no lines, a line that is not six fields, a score that is not a
            finite number; all at once.
    """
    lines = _parse(Path(path))
    return {
        topic: ([lines.shots[i] for i in rows], lines.exact_scores(rows))
        for topic, rows in _rows_of(lines.topics).items()
    }


def read_trec(path: Path, *, topics: Iterable[str] | None = None) -> Run:
    """A run file as a `Run`: lists sorted by score, ties by shot id, the larger string first (as sample_eval.pl).

    Args:
        topics: known topic ids. With them, the "1" before every id of a file for sample_eval.pl is removed (see
            `match_topic_ids`); without them ids stay as they are.

    Raises:
        FormatError: what `read_trec_columns` refuses; a shot twice in a topic; ranks that contradict the scores (a
            better rank with a lower score, as with distances or a file in reverse order); integer scores that
            are one number in float64; several tags.
    """
    path = Path(path)
    lines = _parse(path)
    rows_of = _rows_of(lines.topics)
    problems = Problems(f"run file {path}")
    for topic, rows in rows_of.items():
        _check_duplicates(path, topic, rows, lines, problems)
        _check_ranks(path, topic, rows, lines, problems)
        _check_precision(path, topic, rows, lines, problems)
    for tag in sorted(set(lines.tags) - {lines.tags[0]}):
        number = _numbers(lines.text)[lines.tags.index(tag)]
        problems.add(f"{path}:{number}", f'a second tag "{tag}"; the file begins with "{lines.tags[0]}"')
    problems.raise_if_any(FormatError)
    names = match_topic_ids(rows_of, topics) if topics is not None else {topic: topic for topic in rows_of}
    lists = {
        names[topic]: RankedList.from_scores(
            names[topic], [lines.shots[i] for i in rows], lines.scores[rows], limit=len(rows)
        )
        for topic, rows in rows_of.items()
    }
    return Run(lists, lines.tags[0], {"file": str(path)})


def write_trec(run: Run, path: Path) -> None:
    """Write a run; its scores have enough digits to be read back as the same numbers.

    Raises:
        DataError: the tag is not one word.
    """
    if len(run.tag.split()) != 1:
        raise DataError("the tag of a run must be one word", got=repr(run.tag))
    with atomic_write(path) as file:
        file.writelines(trec_lines(run))


def trec_lines(run: Run) -> Iterator[str]:
    """The lines of a run file: topics in natural order, ranks from 1."""
    for topic in sorted(run.lists, key=natural_key):
        ranked = run.lists[topic]
        for rank, (shot, score) in enumerate(zip(ranked.shots, ranked.scores.tolist(), strict=True), start=1):
            yield f"{topic} 0 {shot} {rank} {score!r} {run.tag}\n"


def match_topic_ids(topics: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Topic ids of a file -> plain ids: the same ids, or the ids without the "1" that qrels put before them.

    The rule applies to a file, never to a single id. If any id of the file is known, all ids stay as they are. If none
    is, and some are known without their leading "1", it is removed from every id that has one.

    >>> match_topic_ids(["1661", "1662"], ["661", "662"])
    {'1661': '661', '1662': '662'}

    Raises:
        FormatError: some ids are known as they are, others only without the leading "1".
    """
    ids, plain = list(topics), set(known)
    as_is = [topic for topic in ids if topic in plain]
    prefixed = [topic for topic in ids if topic.startswith("1") and topic[1:] in plain and topic not in plain]
    if as_is and prefixed:
        raise FormatError(
            'topic ids with and without the leading "1" of the qrels are mixed',
            got=f"{as_is[0]} and {prefixed[0]}",
            next_step="write every topic id the same way",
        )
    if not prefixed:
        return {topic: topic for topic in ids}
    return {topic: topic_id_from_qrels(topic) if topic.startswith("1") and len(topic) > 1 else topic for topic in ids}


def _parse(path: Path) -> _Lines:
    data = require_path(path, what="run file").read_bytes()
    if not data.strip():
        raise FormatError("the run file is empty", where=path, next_step=NEXT_STEP)
    refuse_other_kind(data, RUN, path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("the run file is not UTF-8 text", where=path, got=str(error)) from error
    lines = text.removesuffix("\n").split("\n")
    # Splitting the whole text at once, with a mark where a line ends, is several times faster than splitting each line.
    # If the marks are not where six fields end, each line is checked.
    fields = f" {LINE_END} ".join(lines).split()
    if (
        LINE_END in text
        or len(fields) != (FIELDS + 1) * len(lines) - 1
        or set(fields[FIELDS :: FIELDS + 1]) - {LINE_END}
    ):
        fields = _split_lines(path, text)
    else:
        del fields[FIELDS :: FIELDS + 1]
    scores = fields[4::FIELDS]
    try:
        values = np.fromiter(map(float, scores), dtype=np.float64, count=len(scores))
        written = "".join(scores)  # float() takes 1_000 and the digits of every script; other tools do not
        good = bool(np.isfinite(values).all()) and "_" not in written and written.isascii()
    except ValueError:
        good = False
    if not good:
        _refuse_scores(path, text, scores)
    return _Lines(text, fields[0::FIELDS], fields[2::FIELDS], fields[3::FIELDS], values, scores, fields[5::FIELDS])


def _split_lines(path: Path, text: str) -> list[str]:
    """The fields of all lines, each of which is checked; empty lines are skipped."""
    problems = Problems(f"run file {path}")
    fields: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        parts = line.split()
        if parts and len(parts) != FIELDS:
            problems.add(f"{path}:{number}", f"expected {FIELDS} fields, got {len(parts)}")
        fields += parts
    problems.raise_if_any(FormatError, next_step=NEXT_STEP)
    return fields


def _refuse_scores(path: Path, text: str, scores: Sequence[str]) -> None:
    problems = Problems(f"run file {path}")
    for number, score in zip(_numbers(text), scores, strict=True):
        if not _is_number(score):
            problems.add(f"{path}:{number}", f'the score "{score}" is not a finite number')
    problems.raise_if_any(FormatError, next_step=NEXT_STEP)


def _is_number(score: str) -> bool:
    try:
        return bool(np.isfinite(float(score))) and "_" not in score and score.isascii()
    except ValueError:
        return False


def _numbers(text: str) -> list[int]:
    """The line numbers of the lines that are not empty."""
    return [number for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def _rows_of(topics: Sequence[str]) -> Mapping[str, np.ndarray]:
    """Topic -> positions of its lines, in the order of first appearance; its lines need not be adjacent."""
    chunks: dict[str, list[range]] = {}
    start = 0
    for topic, group in groupby(topics):
        stop = start + sum(1 for _ in group)
        chunks.setdefault(topic, []).append(range(start, stop))
        start = stop
    return {topic: np.concatenate([np.asarray(part) for part in parts]) for topic, parts in chunks.items()}


def _check_duplicates(path: Path, topic: str, rows: np.ndarray, lines: _Lines, problems: Problems) -> None:
    shots = [lines.shots[i] for i in rows]
    if len(set(shots)) == len(shots):
        return
    numbers = _numbers(lines.text)
    first: dict[str, int] = {}
    for row, shot in zip(rows.tolist(), shots, strict=True):
        before = first.setdefault(shot, row)
        if before != row:
            what = f"{shot} is repeated for topic {topic}, first on line {numbers[before]}"
            problems.add(f"{path}:{numbers[row]}", what)


def _check_ranks(path: Path, topic: str, rows: np.ndarray, lines: _Lines, problems: Problems) -> None:
    bad = [i for i in rows.tolist() if RANK.fullmatch(lines.ranks[i]) is None]
    if bad:
        what = f'the rank "{lines.ranks[bad[0]]}" is not a whole number'
        problems.add(f"{path}:{_numbers(lines.text)[bad[0]]}", what)
        return
    ranks = np.fromiter((int(lines.ranks[i]) for i in rows), dtype=np.int64, count=len(rows))
    by_rank = rows[np.argsort(ranks, kind="stable")]
    rises = np.flatnonzero(np.diff(lines.scores[by_rank]) > 0)
    if len(rises):
        above, below = int(by_rank[rises[0]]), int(by_rank[rises[0] + 1])
        problems.add(
            f"{path}:{_numbers(lines.text)[below]}",
            f"rank {lines.ranks[below]} of topic {topic} scores {lines.scores[below]:g}, more than rank "
            f"{lines.ranks[above]} with {lines.scores[above]:g}; a larger score must mean a better shot",
        )


def _check_precision(path: Path, topic: str, rows: np.ndarray, lines: _Lines, problems: Problems) -> None:
    exact = lines.exact_scores(rows)
    if exact.dtype == object and len(set(exact)) > len(set(lines.scores[rows].tolist())):
        what = f"scores of topic {topic} differ by less than float64 can hold: write smaller numbers"
        problems.add(f"{path}:{_numbers(lines.text)[rows[0]]}", what)
