"""Topic files: NIST's text (`661  a hang glider ...`), RUC's (one space), XML; and narratives in the same formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avs.core.artifacts import atomic_write, require_path
from avs.core.errors import DataError, FormatError, Problems
from avs.core.ids import some
from avs.core.topic import Topic, TopicSet
from avs.trecvid.editions import Edition, editions_with_topics, get_edition
from avs.trecvid.secure_xml import looks_like_xml, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

ID = re.compile(r"(?=\S*\d)[A-Za-z0-9._-]{1,64}")
PREFIX = re.compile(r"find shots of\s+", re.IGNORECASE)
NEXT_STEP = "a line is an id, two spaces, and the text: 661  a hang glider floating in the sky"


@dataclass(frozen=True, slots=True)
class _Entry:
    where: str  # file:line
    id: str
    text: str
    narrative: str | None = None


def read_topics(
    paths: Path | Sequence[Path], *, narratives: Path | None = None, edition: Edition | str | None = None
) -> TopicSet:
    """The topics of one or several files, in natural order of their ids.

    A text file has an id and a sentence per line, separated by any white space. In XML, every element whose name ends
    in "topic" is a topic, with its id in `num` and its text in a `textDescription` inside. "Find shots of" is removed
    from the text, as in NIST's text files.

    Args:
        paths: topic files; an id may be in only one of them.
        narratives: a file in the same formats with one narrative per topic.
        edition: the edition of the topics, which they then record with their task.

    Raises:
        FormatError: no topics; lines without id or text; a repeated id (both places named); ids outside the edition;
            narratives that are missing or for other topics; all at once.
    """
    files = [paths] if isinstance(paths, (str, Path)) else list(paths)
    chosen = get_edition(edition) if isinstance(edition, str) else edition
    problems = Problems("topics" if len(files) != 1 else f"topics {files[0]}")
    entries = _unique([entry for path in files for entry in _read(Path(path), problems)], problems)
    if chosen is not None:
        _check_edition(entries, chosen, problems)
    texts = _read_narratives(Path(narratives), entries, problems) if narratives is not None else {}
    problems.raise_if_any(FormatError, next_step=NEXT_STEP if _has_no_ids(problems) else None)
    return TopicSet(
        Topic(
            entry.id,
            entry.text,
            texts.get(entry.id, entry.narrative),
            chosen.id if chosen else None,
            chosen.task_of(entry.id) if chosen else None,
        )
        for entry in entries.values()
    )


def write_topics(topics: Iterable[Topic], path: Path) -> None:
    """Write topics in NIST's format: id, two spaces, text."""
    with atomic_write(path) as file:
        file.writelines(f"{topic.id}  {_one_line(topic.text)}\n" for topic in topics)


def write_narratives(topics: Iterable[Topic], path: Path) -> None:
    """Write the narratives of topics in NIST's format.

    Raises:
        DataError: a topic has no narrative.
    """
    chosen = list(topics)
    if missing := [topic.id for topic in chosen if not topic.narrative]:
        raise DataError("topics without a narrative", got=some(missing))
    with atomic_write(path) as file:
        file.writelines(f"{topic.id}  {_one_line(topic.narrative or '')}\n" for topic in chosen)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _read(path: Path, problems: Problems) -> list[_Entry]:
    data = require_path(path, what="topic file").read_bytes()
    if looks_like_xml(data):
        return _read_xml(data, path, problems)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("a topic file must be UTF-8 text or XML", where=path, got=str(error)) from error
    entries = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        words = line.split(None, 1)
        where = f"{path}:{number}"
        if ID.fullmatch(words[0]) is None:
            problems.add(where, f'no topic id before "{line.strip()}"')
        elif len(words) == 1:
            problems.add(where, f"topic {words[0]} has no text")
        else:
            entries.append(_Entry(where, words[0], _one_line(words[1])))
    if not text.strip():
        problems.add(path, "has no topics")
    return entries


def _has_no_ids(problems: Problems) -> bool:
    return any(what.startswith("no topic id") for _, what in problems.items)


def _read_xml(data: bytes, path: Path, problems: Problems) -> list[_Entry]:
    entries = []
    root = parse_xml(data, str(path))
    for element in root.iter("*"):
        name = _local(element)
        if not name.lower().endswith("topic"):
            continue
        where = f"{path}:{element.sourceline}"
        topic = (element.get("num") or element.get("id") or _text_of(element, "num") or "").strip()
        text = _text_of(element, "textdescription", "text", "query", "title")
        text = text[len(prefix[0]) :] if (prefix := PREFIX.match(text)) else text
        if ID.fullmatch(topic) is None:
            problems.add(where, f"<{name}> has no topic id in its attribute num")
        elif not text:
            problems.add(where, f"topic {topic} has no text")
        else:
            narrative = _text_of(element, "narrative", "narr")
            entries.append(_Entry(where, topic, text, narrative or None))
    if not entries and not len(problems):
        problems.add(path, f"<{_local(root)}> has no topic elements")
    return entries


def _local(element: _Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text_of(element: _Element, *names: str) -> str:
    """The text of the first child with one of these names: its attribute `text`, or its content."""
    for child in element.iter("*"):
        if child is not element and _local(child).lower() in names:
            return _one_line(child.get("text") or "".join(str(part) for part in child.itertext()))
    return ""


def _unique(entries: Sequence[_Entry], problems: Problems) -> dict[str, _Entry]:
    first: dict[str, _Entry] = {}
    for entry in entries:
        before = first.setdefault(entry.id, entry)
        if before is not entry:
            problems.add(entry.where, f"topic {entry.id} is already at {before.where}")
    return first


def _check_edition(entries: Mapping[str, _Entry], edition: Edition, problems: Problems) -> None:
    outside = [entry for entry in entries.values() if edition.task_of(entry.id) is None]
    others = [name for name in editions_with_topics(entries) if name != edition.id]
    hint = f"; all these topics are of {' and '.join(others)}" if others else ""
    for entry in outside:
        problems.add(
            entry.where, f"topic {entry.id} is not of {edition.id}, which has {edition.describe_topics()}{hint}"
        )


def _read_narratives(path: Path, entries: Mapping[str, _Entry], problems: Problems) -> dict[str, str]:
    by_topic = _unique(_read(path, problems), problems)
    for topic in sorted(set(entries) - set(by_topic)):
        problems.add(path, f"no narrative for topic {topic}")
    for topic in sorted(set(by_topic) - set(entries)):
        problems.add(by_topic[topic].where, f"a narrative for topic {topic}, which is not among the topics")
    return {topic: entry.text for topic, entry in by_topic.items()}
