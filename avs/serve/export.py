"""Lists as files: TREC's columns, run files through make-run and check-run, and marks as judgments of one's own.

Whoever helped a list is told by the class of its run: F only if every list came from the very sentence of its topic; R
if marks moved a query; M for everything else. A list of a simulated user is never a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from avs.core.errors import AvsError
from avs.core.ids import qrels_topic_id
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.topic import Topic
from avs.serve.answers import stamp_of
from avs.serve.journal.marks import MarkBook
from avs.serve.opened.collection import Collection
from avs.serve.refusal import Refusal
from avs.serve.search.engine import ServedAnswer
from avs.serve.shapes import Exported, ExportRequest
from avs.serve.study import edition_of
from avs.trecvid.trec import trec_lines

OWN = "own"
CLASS_OF = {"automatic": "F", "manual": "M", "feedback": "R"}
HELP = ("F", "M", "R")  # the more a user has done, the later


def export_lists(
    collection: Collection, book: MarkBook, asked: ExportRequest, lists: Sequence[ServedAnswer]
) -> Exported:
    """The file of lists.

    Raises:
        Refusal: no list, two lists of a topic, a list of a simulated user.
        AvsError: what make-run and check-run refuse.
    """
    by_topic: dict[str, ServedAnswer] = {}
    for answer in lists:
        if answer.plan.topic in by_topic:
            raise Refusal(422, "two lists of one topic", got=f"topic {answer.plan.topic}")
        by_topic[answer.plan.topic] = answer
    if not by_topic:
        raise Refusal(422, "there is nothing to export", next_step="give the ids of lists")
    used = class_of(collection, book, list(by_topic.values()))
    run = Run({topic: answer.shown for topic, answer in by_topic.items()}, asked.name)
    shots = sum(len(answer.shown) for answer in by_topic.values())
    if asked.format == "trec":
        content = "".join(trec_lines(run))
        return Exported(
            file=f"{asked.name}.trec", kind="trec", class_=used, shots=shots, topics=len(by_topic), content=content,
            warnings=[],
        )  # fmt: skip
    return _run_file(collection, asked, run, used, _seconds(by_topic))


def class_of(collection: Collection, book: MarkBook, answers: Sequence[ServedAnswer]) -> str:
    """F, M or R, by what users have done for the lists.

    Raises:
        Refusal: a list is of a simulated user.
    """
    classes = []
    for answer in answers:
        stamp = stamp_of(answer.plan, collection)
        if stamp == "automatic-invalid":
            raise Refusal(
                422, "the list knows the judgments of its topic: it is no run", got=answer.id,
                next_step="ask without the simulated user, and without a fuser that has learned from this topic",
            )  # fmt: skip
        classes.append(CLASS_OF[stamp])
    return max(classes, key=HELP.index)


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


def _run_file(collection: Collection, asked: ExportRequest, run: Run, used: str, seconds: float) -> Exported:
    """The run file that make-run writes. Its class is what users have done, or one that claims less."""
    from avs.pipeline.run_files import write_run
    from avs.trecvid.editions import get_edition

    options = collection.options
    if options.shots is None:
        raise Refusal(409, "a run file needs the shots that exist", next_step="give the shot table: --shots")
    edition = get_edition(asked.edition or edition_of(collection))
    given = asked.attributes.get("class", used)
    if given not in HELP or HELP.index(given) < HELP.index(used):
        raise Refusal(
            422, "a list that a user has helped is not a run of that class", where="class", got=given, wanted=used
        )  # fmt: skip
    attributes = {**asked.attributes, "class": given}
    with TemporaryDirectory(prefix="avs-export-") as folder:
        topics = (
            list(options.topics) if edition.topics or edition.id == "mini" else [_topic_file(collection, run, folder)]
        )
        made = write_run(
            run, Path(folder) / "run", edition=edition, topics=topics, shots=options.shots, attributes=attributes,
            elapsed=asked.elapsed_s if asked.elapsed_s is not None else seconds, reporter=Reporter(),
        )  # fmt: skip
        content = made.path.read_text(encoding="utf-8")
        warnings = [one.what for one in made.report.warnings] if made.report else []
    return Exported(
        file=made.path.name, kind="xml", class_=given, shots=sum(len(one) for one in run.lists.values()),
        topics=len(run.lists), content=content, warnings=warnings,
    )  # fmt: skip


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
