"""What holds for every run, qrels and topic file: plain readings agree, what is written reads back, nothing else fails.

Bad files are made from the words that break readers; each is read as a plain loop reads it, or refused by an AvsError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from avs.core.errors import AvsError, FormatError
from avs.core.ranking import RankedList, Run
from avs.core.topic import Topic
from avs.trecvid.check import check_run
from avs.trecvid.editions import edition_names, get_edition
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_xml import read_run_xml, render_run_xml
from avs.trecvid.topics import read_topics, write_narratives, write_topics
from avs.trecvid.trec import read_trec, read_trec_columns, write_trec
from avs.trecvid.valid_shots import ValidShots

Write = Callable[[str | bytes], Path]

TOPICS = st.sampled_from(["661", "662", "670", "1661", "q1", "7"])
SHOTS = st.sampled_from([f"shot{video:05d}_{number}" for video in (7, 81, 100) for number in (1, 2, 9, 10, 11)])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCORES = FLOATS | st.integers(-3, 3).map(float) | st.integers(-(2**70), 2**70).map(float)
NASTY = ["", " ", "\t", "\r", "\n\n", "\0", "\ufeff", "\u2028", "\xa0", "é", "１", "nan", "inf", "-1", "0x1", "1_0",
         "1e400", ".5", "5.", "+1", "-0", "--1", "1e", "9" * 30, "<", "&", "shot1_1", "1", "0", "661", "0.5", "T",
         "0 0"]  # fmt: skip
PRINTED = st.characters(exclude_categories=["C", "Z"], include_characters=" ")
SENTENCES = st.text(PRINTED, min_size=1, max_size=30).filter(str.strip)


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes a content to the one file of this module."""
    path = tmp_path_factory.mktemp("read") / "file"

    def written(content: str | bytes) -> Path:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@st.composite
def runs(draw: st.DrawFn) -> Run:
    lists = {}
    for topic in draw(st.lists(TOPICS, min_size=1, unique=True)):
        shots = draw(st.lists(SHOTS, min_size=1, unique=True))
        lists[topic] = RankedList.from_scores(topic, shots, [draw(SCORES) for _ in shots])
    return Run(lists, "T")


@st.composite
def broken(draw: st.DrawFn, width: int) -> str:
    """Lines of `width` good words, some of which are replaced, added or left out."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        words = [draw(TOPICS), "0", draw(SHOTS), *(["1", "0.5", "T"] if width == 6 else ["1", "1"])]
        for _ in range(draw(st.integers(0, 2))):
            at = draw(st.integers(0, width - 1))
            words[at : at + draw(st.integers(0, 1))] = [draw(st.sampled_from(NASTY))]
        lines.append(draw(st.sampled_from([" ", "\t", "  "])).join(words))
    return draw(st.sampled_from(["\n", "\r\n", "\n\n"])).join(lines) + draw(st.sampled_from(["", "\n"]))


def naive_lines(text: str, width: int) -> list[list[str]] | None:
    """The words of lines that are not empty; None if a line has another number of words."""
    lines = [line.split() for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
    return lines if lines and all(len(words) == width for words in lines) else None


@given(runs())
def test_a_written_run_reads_back_as_it_was(write: Write, run: Run) -> None:
    path = write("")
    write_trec(run, path)
    back = read_trec(path)
    assert set(back.topics) == set(run.topics) and back.tag == run.tag
    for topic, ranked in run.lists.items():
        assert back.lists[topic].shots == ranked.shots
        assert back.lists[topic].scores.tolist() == ranked.scores.tolist()


@given(broken(6))
@example("661 0 shot1_1 1 １ T\n")
@example("661 0 shot1_1 1 1_0 T\n")
@example("661 0 0 shot1_1 1 0.5 T\n 0 shot1_1 1 0.5 T")
@example("661 0 shot1_1 1 0.5 T\0661 0 shot1_2 2 0.4 T")
def test_any_run_file_is_read_as_a_plain_loop_reads_it_or_refused(write: Write, text: str) -> None:
    lines = naive_lines(text, 6)
    number = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
    good = lines is not None and all(number.fullmatch(words[4]) and np.isfinite(float(words[4])) for words in lines)
    try:
        columns = read_trec_columns(write(text))
    except FormatError as error:
        assert not good or "were two files swapped?" in str(error)  # a second column that no run has
        return
    assert lines is not None and good
    wanted: dict[str, tuple[list[str], list[float]]] = {}
    for words in lines:
        shots, scores = wanted.setdefault(words[0], ([], []))
        shots.append(words[2])
        scores.append(float(words[4]))
    assert {topic: (shots, scores.astype(float).tolist()) for topic, (shots, scores) in columns.items()} == wanted
    with suppress(FormatError):
        assert read_trec(write(text)).lists.keys() == wanted.keys()


@given(st.lists(st.tuples(TOPICS, SHOTS, st.integers(1, 4), st.integers(-1, 2)), min_size=1, unique_by=lambda x: x[:2]))
def test_judgments_are_read_as_a_plain_loop_reads_them(write: Write, rows: list[tuple[str, str, int, int]]) -> None:
    topics = {topic for topic, *_ in rows}
    prefixed = {topic for topic in topics if len(topic) == 4}
    mixed = prefixed and len(prefixed) < len(topics) and any(re.fullmatch(r"\d{3}", topic) for topic in topics)
    path = write("".join(f"{t} 0 {shot}\t{stratum} {judgment}\n" for t, shot, stratum, judgment in rows))
    if mixed:
        with pytest.raises(FormatError, match="mixed"):
            read_qrels(path)
        return
    wanted: dict[str, dict[str, tuple[int, int]]] = {}
    for topic, shot, stratum, judgment in rows:
        wanted.setdefault(topic[1:] if prefixed == topics else topic, {})[shot] = (stratum, judgment)
    read = {
        topic: dict(zip(one.shots, zip(one.strata.tolist(), one.judgments.tolist(), strict=True), strict=True))
        for topic, one in read_qrels(path).topics.items()
    }
    assert read == wanted and list(read) == list(wanted)


@given(broken(5))
def test_any_qrels_file_is_read_as_a_plain_loop_reads_it_or_refused(write: Write, text: str) -> None:
    try:
        qrels = read_qrels(write(text))
    except FormatError:
        return
    lines = naive_lines(text, 5) or naive_lines(text, 4)
    assert lines is not None
    judgments = [(words[2], int(words[-1])) for words in lines]
    read = [pair for one in qrels.topics.values() for pair in zip(one.shots, one.judgments.tolist(), strict=True)]
    assert sorted(read) == sorted(judgments)


@given(st.dictionaries(st.integers(1, 9999).map(str), st.tuples(SENTENCES, SENTENCES), min_size=1))
def test_topics_are_the_same_in_every_format(write: Write, texts: dict[str, tuple[str, str]]) -> None:
    topics = [Topic(topic, *words) for topic, words in texts.items()]
    wanted = {topic: " ".join(text.split()) for topic, (text, _) in texts.items()}
    narratives = {topic: " ".join(text.split()) for topic, (_, text) in texts.items()}
    path = write("")
    write_topics(topics, path)
    told = path.with_name("narratives")
    write_narratives(topics, told)
    try:
        read = read_topics(path, narratives=told)
    except FormatError as error:
        assert "were two files swapped?" in str(error)  # a sentence of numbers, as those of qrels
        return
    assert {topic.id: topic.text for topic in read} == wanted
    assert {topic.id: topic.narrative for topic in read} == narratives
    ruc = write("".join(f"{topic} {text}\n" for topic, text in wanted.items()))
    assert {topic.id: topic.text for topic in read_topics(ruc)} == wanted
    content = "".join(
        f"<videoTopic num={quoteattr(topic)}><textDescription>{escape(text)}</textDescription>"
        f"<narrative text={quoteattr(narratives[topic])}/></videoTopic>"
        for topic, text in wanted.items()
    )
    for topic in read_topics(write(f"<topics>{content}</topics>")):
        assert (topic.text, topic.narrative) == (wanted[topic.id], narratives[topic.id])


@given(st.lists(st.sampled_from([*NASTY, "<topic num='1'>", "</topic>", "<text>", "</text>", "661  a dog", "\n"])))
def test_any_topic_file_is_read_or_refused(write: Write, words: list[str]) -> None:
    text = " ".join(words)
    try:
        topics = read_topics(write(text))
    except FormatError:
        return
    assert all(topic.id in text and topic.text for topic in topics)


@st.composite
def submissions(draw: st.DrawFn) -> tuple[str, Run, dict[str, str]]:
    """An edition, a run over all of its topics, and attributes with an awkward description."""
    name = draw(st.sampled_from(edition_names()))
    edition = get_edition(name)
    video = str(edition.collection.first_video or 1).zfill(edition.collection.digits or 0)
    lists = {}
    for topic in edition.topic_ids("M") or ("q1", "q2"):
        numbers = draw(st.lists(st.integers(1, 30), min_size=1, max_size=5, unique=True))
        lists[topic] = RankedList(topic, tuple(f"shot{video}_{n}" for n in numbers), -np.arange(float(len(numbers))))
    values = {"trType": "D", "class": "F", "task": "M", "novelty": "C", "pid": "TEAM", "priority": "1"}
    values["desc"] = draw(SENTENCES)
    return name, Run(lists, "T"), {a.name: values.get(a.name, "C") for a in edition.attributes}


@given(submissions())
def test_a_rendered_run_passes_the_check_and_reads_back(write: Write, case: tuple[str, Run, dict[str, str]]) -> None:
    name, run, values = case
    edition = get_edition(name)
    data = render_run_xml(run, edition, values, elapsed_s=dict.fromkeys(run.lists, 3))
    video = next(iter(run.lists.values())).shots[0][4:].rpartition("_")[0]
    report = check_run(data, edition, ValidShots({video: range(1, 31)}, frozenset(), "table"), name="r")
    assert report.findings == () and report.topics == len(run.lists)
    (back,) = read_run_xml(write(data))
    assert dict(back.attributes) == values
    assert {topic: one.shots for topic, one in back.run.lists.items()} == {t: o.shots for t, o in run.lists.items()}


@given(submissions(), st.integers(0), st.integers(0, 12), st.sampled_from([word.encode() for word in NASTY]))
def test_a_damaged_run_is_reported_and_never_breaks_the_reader(
    write: Write, case: tuple[str, Run, dict[str, str]], at: int, cut: int, put: bytes
) -> None:
    name, run, values = case
    edition = get_edition(name)
    data = render_run_xml(run, edition, values, elapsed_s=dict.fromkeys(run.lists, 3))
    at %= len(data)
    damaged = data[:at] + put + data[at + cut :]
    video = next(iter(run.lists.values())).shots[0][4:].rpartition("_")[0]
    report = check_run(damaged, edition, ValidShots({video: range(1, 31)}, frozenset(), "table"), name="r")
    try:
        read_run_xml(write(damaged))
    except AvsError:
        assert not report.ok
