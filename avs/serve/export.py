"""Lists as files: TREC's columns, run files through make-run and check-run, and marks as judgments of one's own.

Whoever helped a list is told by the class of its run: F only if every list came from the very sentence of its topic; R
if marks moved a query; M for everything else. Lists of files have the class that they declare. A list of a simulated
user is never a run. The tag of a TREC file begins with the class, as NIST's run ids do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from avs.core.errors import AvsError, ConfigError
from avs.core.ids import qrels_topic_id, some
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.topic import Topic
from avs.serve.answers import STAMP_OF, lists_in_files, stamp_of_question
from avs.serve.journal.marks import MarkBook
from avs.serve.opened.collection import Collection
from avs.serve.refusal import Refusal
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import Exported, ExportRequest
from avs.serve.study import edition_of
from avs.trecvid.list_class import CLASSES, tag_with_class
from avs.trecvid.trec import trec_lines

if TYPE_CHECKING:
    from avs.trecvid.editions import Edition

OWN = "own"
CLASS_OF = {stamp: used for used, stamp in STAMP_OF.items() if used is not None}


@dataclass(frozen=True, slots=True)
class UsedClass:
    """What is known of the class of lists.

    Attributes:
        least: F, M or R, by what users have done; no class before it may be claimed.
        unknown: names of lists of files that say no class.
    """

    least: str
    unknown: tuple[str, ...]

    @property
    def known(self) -> str | None:
        """The class; None: it is for the user to state."""
        return None if self.unknown and self.least == CLASSES[0] else self.least

    @property
    def warnings(self) -> list[str]:
        """What nobody but the user knows."""
        return [f"{name}: nothing says how this list was made, neither its tag nor a manifest" for name in self.unknown]


def export_lists(collection: Collection, asked: ExportRequest, answers: Sequence[ServedAnswer]) -> Exported:
    """The file of lists.

    Raises:
        Refusal: no list, two lists of a topic, a list of a simulated user.
        AvsError: what make-run and check-run refuse.
    """
    by_topic: dict[str, ServedAnswer] = {}
    for answer in answers:
        if answer.plan.topic in by_topic:
            raise Refusal(422, "two lists of one topic", got=f"topic {answer.plan.topic}")
        by_topic[answer.plan.topic] = answer
    if not by_topic:
        raise Refusal(422, "there is nothing to export", next_step="give the ids of lists")
    used = class_of(collection, list(by_topic.values()))
    lists = {topic: answer.shown for topic, answer in by_topic.items()}
    shots = sum(len(answer.shown) for answer in by_topic.values())
    if asked.format == "trec":
        tag = asked.name if used.known is None else tag_with_class(asked.name, used.known)
        return Exported(
            file=f"{asked.name}.trec", kind="trec", class_=used.known, shots=shots, topics=len(by_topic),
            content="".join(trec_lines(Run(lists, tag))), warnings=used.warnings,
        )  # fmt: skip
    return _run_file(collection, asked, Run(lists, asked.name), used, _seconds(by_topic))


def class_of(collection: Collection, answers: Sequence[ServedAnswer]) -> UsedClass:
    """The class of lists, by what users have done for them, and by what lists of files declare.

    Raises:
        Refusal: a list is of a simulated user.
    """
    classes, unknown = [], []
    for answer in answers:
        stamp = stamp_of_question(answer.plan, collection)
        if stamp == "automatic-invalid":
            raise Refusal(
                422, "the list knows the judgments of its topic: it is no run", got=answer.id,
                next_step="ask without the simulated user, and without a fuser that has learned from this topic",
            )  # fmt: skip
        classes.append(CLASS_OF[stamp])
        files = lists_in_files(answer.plan, collection)
        classes += [one.used for one in files if one.used is not None]
        unknown += [one.name for one in files if one.used is None]
    return UsedClass(max(classes, key=CLASSES.index), tuple(dict.fromkeys(unknown)))


def own_qrels(book: MarkBook, topics: Sequence[str], name: str) -> Exported:
    """The marks yes and no as judgments, in one stratum called by 1; unsure shots are -1.

    Raises:
        Refusal: nothing is marked.
    """
    grade = {"yes": 1, "no": 0, "unsure": -1}
    wanted = list(topics) or book.topics()
    lines = [
        f"{qrels_topic_id(topic)} 0 {shot} 1 {grade[mark]}\n"
        for topic in wanted
        for shot, mark in sorted(book.marks(topic).items())
    ]
    if not lines:
        raise Refusal(422, "nothing is marked", next_step="mark shots: y, n")
    return Exported(
        file=f"{name}.{OWN}.qrels", kind="qrels", shots=len(lines), topics=len(wanted), content="".join(lines),
        warnings=["judgments of one's own, not of NIST"],
    )  # fmt: skip


def _run_file(collection: Collection, asked: ExportRequest, run: Run, used: UsedClass, seconds: float) -> Exported:
    """The run file that make-run writes. Its class is what users have done, or one that claims less."""
    from avs.pipeline.run_files import write_run
    from avs.trecvid.editions import get_edition

    options = collection.options
    if options.shots is None:
        raise Refusal(409, "a run file needs the shots that exist", next_step="give the shot table: --shots")
    edition = get_edition(asked.edition or edition_of(collection))
    attributes = _attributes(asked, edition, list(run.lists), used)
    with TemporaryDirectory(prefix="avs-export-") as folder:
        topics = (
            list(options.topics) if edition.topics or edition.id == "mini" else [_topic_file(collection, run, folder)]
        )
        made = write_run(
            run, Path(folder) / "run", edition=edition, topics=topics, shots=options.shots, attributes=attributes,
            elapsed=asked.elapsed_s if asked.elapsed_s is not None else seconds, reporter=Reporter(),
        )  # fmt: skip
        content = made.path.read_text(encoding="utf-8")
        warnings = [*used.warnings, *(one.what for one in (made.report.warnings if made.report else ()))]
    return Exported(
        file=made.path.name, kind="xml", class_=attributes["class"], shots=sum(len(one) for one in run.lists.values()),
        topics=len(run.lists), content=content, warnings=warnings,
    )  # fmt: skip


def _attributes(asked: ExportRequest, edition: Edition, topics: Sequence[str], used: UsedClass) -> dict[str, str]:
    """The attributes of a run by their names: those that were given, in any case, and those that are known.

    Raises:
        Refusal: some are missing, of no such name, or wrong; a class that claims more than is true, or is not known.
    """
    from avs.trecvid.checked_run import run_file_name

    names = {one.name.lower(): one.name for one in edition.attributes}
    given: dict[str, str] = {}
    for written, value in asked.attributes.items():
        name = names.get(written.lstrip("-").lower(), written)
        if given.setdefault(name, value) != value:
            raise Refusal(422, "an attribute has two values", where=name, got=f"{given[name]}, {value}")
    tasks = {edition.task_of(topic) for topic in topics}
    task = tasks.pop() if len(tasks) == 1 else None
    known = {"task": task, "class": used.known}
    attributes = {name: value for name, value in known.items() if value is not None and name in names} | given
    _require_class(attributes.get("class"), used)
    try:
        run_file_name(edition, attributes)
    except ConfigError as error:
        what = error.what
        for option, name in names.items():
            what = what.replace(f"--{option}:", f"{name}:")
        raise Refusal(
            422, what, where="attributes", got=", ".join(given) or "none", wanted=_wanted(edition, attributes),
            next_step='give them as NAME=VALUE, and words with blanks in quotes: desc="our best system"',
        ) from error  # fmt: skip
    return attributes


def _require_class(given: str | None, used: UsedClass) -> None:
    """Check the class of a run: it is what users have done, or one that claims less."""
    allowed = CLASSES[CLASSES.index(used.least) :]
    if given is None:
        raise Refusal(
            422, "nothing says how a list was made: the class of the run is yours to state", where=some(used.unknown),
            wanted=f"class={'|'.join(allowed)}",
            next_step="state class=F if no user has helped it, M if one has written its words, R if marks were used",
        )  # fmt: skip
    if given not in allowed:
        raise Refusal(
            422, "a list that a user has helped is not a run of that class", where="class", got=given,
            wanted=", ".join(allowed),
        )  # fmt: skip


def _wanted(edition: Edition, attributes: Mapping[str, str]) -> str:
    """The names of the attributes that are missing, with their values; if none is, of all."""
    missing = [one for one in edition.attributes if one.required and one.name not in attributes]
    named = []
    for one in missing or edition.attributes:
        short = one.values is not None and len(one.values) <= 4
        named.append(f"{one.name}={'|'.join(one.values)}" if short and one.values else one.name)
    return ", ".join(named)


def _topic_file(collection: Collection, run: Run, folder: str) -> Path:
    """The topics of the lists alone, for a run of a custom edition."""
    from avs.trecvid.topics import write_topics

    known = {topic.id: topic for topic in collection.topics or ()}
    path = Path(folder) / "topics.txt"
    try:
        write_topics([known.get(topic, Topic(topic, "as typed")) for topic in run.topics], path)
    except AvsError as error:
        raise Refusal(422, "the lists are not of topics", got=", ".join(run.topics), wanted=error.wanted) from error
    return path


def _seconds(by_topic: Mapping[str, ServedAnswer]) -> float:
    """Seconds of the slowest search among the lists."""
    return max(sum(answer.ms.values()) for answer in by_topic.values()) / 1000
