"""The rules that a DTD cannot express: topics, times, sequence numbers, shots, boxes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avs.core.errors import did_you_mean
from avs.trecvid.editions import OWN, TASK_NAMES, Edition
from avs.trecvid.findings import Finding
from avs.trecvid.run_xml import ITEM, TOPIC
from avs.trecvid.valid_shots import ValidShots

if TYPE_CHECKING:
    from lxml.etree import _Element

WHOLE = re.compile(r"[0-9]{1,9}")
SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
BOX = ("ulX", "ulY", "lrX", "lrY")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run is checked against.

    Attributes:
        edition, shots: the rules of the year and the shots that exist.
        task: the task that the run must be of, "M" or "P"; None: either.
        topics: ids of the topics that the run must have; None: those of the edition's task.
        pids: the registered teams; None: any team.
    """

    edition: Edition
    shots: ValidShots
    task: str | None = None
    topics: tuple[str, ...] | None = None
    pids: Collection[str] | None = None

    def expected(self, task: str) -> tuple[str, ...] | None:
        """The topics that a run of `task` must have, and no other; None: any topics."""
        if self.topics is not None:
            return self.topics
        return self.edition.topic_ids(task) if task in self.edition.topics else None

    def shot_problem(self, shot: str) -> str | None:
        """What is wrong with a shot id, or None."""
        reason = self.shots.problem(shot)
        return reason and (self.edition.collection.problem(shot) or reason)  # a wrong form explains more


def check_content(run: _Element, number: int, rules: Rules) -> Iterator[Finding]:
    """The faults of the `number`-th run (from 1) of a document."""
    line = run.sourceline or 1
    pid = run.get("pid")
    label = f"run# {number}" + (f" of {pid}" if pid else "")
    if pid == "":
        yield Finding(line, f"empty pid in {label}")
    elif pid and rules.pids is not None and pid not in rules.pids:
        yield Finding(line, f'pid "{pid}" is not registered{did_you_mean(pid, rules.pids)}')
    if run.get("desc", "-").strip() == "":
        yield Finding(line, f"empty desc in {label}")
    task = run.get("task", rules.task or "M")
    if rules.task is not None and task != rules.task:
        yield Finding(line, f'{label} is for task "{task}", must be "{rules.task}"')
    elif rules.edition.topics and task in TASK_NAMES and task not in rules.edition.topics:
        yield Finding(line, f"{rules.edition.id} has no {TASK_NAMES[task]} task")
    topics = [(element.get("tNum", ""), element.sourceline or 1) for element in run.iterfind(TOPIC)]
    yield from check_topics(topics, line, label, task, rules)
    for element in run.iterfind(TOPIC):
        yield from _check_topic(element, label, rules)


def unusual(run: _Element, edition: Edition) -> Iterator[Finding]:
    """What NIST may accept but is rarely intended: attributes unlike those of its samples, topics without a shot."""
    line = run.sourceline or 1
    for attribute in edition.attributes if edition.id not in OWN else ():
        value, seen = run.get(attribute.name), " or ".join(attribute.seen)
        if seen and value is None:
            yield Finding(line, f"no {attribute.name}: each sample run of NIST has it, {seen}; its DTD may require it")
        elif seen and value not in attribute.seen:
            yield Finding(
                line, f'{attribute.name} is "{value}": the sample runs of NIST have {seen}, and no other value'
            )
    for topic in run.iterfind(TOPIC):
        if topic.find(ITEM) is None:
            yield Finding(topic.sourceline or 1, f"query {topic.get('tNum', '')} has no shot")


def check_topics(
    topics: Iterable[tuple[str, int]], line: int, label: str, task: str, rules: Rules
) -> Iterator[Finding]:
    """The faults of the topics (ids with lines): each topic of the task must be there once, and no other."""
    expected = rules.expected(task)
    seen: dict[str, int] = {}
    for topic, at in topics:
        if topic == "":
            yield Finding(at, f"empty tNum in {label}")
        elif topic in seen:
            yield Finding(at, f"query {topic} is repeated in {label}, first on line {seen[topic]}")
        elif expected is not None and topic not in expected:
            yield Finding(at, f"invalid query [{topic}] in {label}: {_why_not(topic, task, rules)}")
        seen.setdefault(topic, at)
    for topic in expected or ():
        if topic not in seen:
            yield Finding(line, f"missing results for query {topic} in {label}")


def _why_not(topic: str, task: str, rules: Rules) -> str:
    other = rules.edition.task_of(topic)
    if rules.topics is not None:
        return "not among the topics"
    if topic.strip().lstrip("0") != topic:
        return "a topic number has no leading zero and no space"
    if other is not None and other != task:
        return f"it is of the {TASK_NAMES[other]} task, the run is for the {TASK_NAMES.get(task, task)} task"
    return f"{rules.edition.id} has {rules.edition.describe_topics()}"


def _check_topic(element: _Element, label: str, rules: Rules) -> Iterator[Finding]:
    line = element.sourceline or 1
    where = f"for query {element.get('tNum', '')} in {label}"
    elapsed = element.get("elapsedTime")
    if elapsed is not None and WHOLE.fullmatch(elapsed) is None:
        yield Finding(line, f'elapsedTime "{elapsed}" {where} is not a whole number of seconds')
    items = [(item, item.sourceline or 1) for item in element.iterfind(ITEM)]
    if len(items) > rules.edition.max_results:
        yield Finding(line, f"{len(items)} items {where}, NIST takes at most {rules.edition.max_results}")
    yield from _check_sequence(items, where, rules.edition.max_results)
    yield from check_shots(((item.get("shotId"), at) for item, at in items), where, rules)
    for item, at in items:
        if len(item.attrib) > 2:
            yield from _check_box(item, at, where)


def _check_sequence(items: Iterable[tuple[_Element, int]], where: str, limit: int) -> Iterator[Finding]:
    seen: dict[int, int] = {}
    for item, line in items:
        text = item.get("seqNum")
        if text is None:
            continue
        if WHOLE.fullmatch(text) is None or not 1 <= int(text) <= limit:
            kind = "empty" if text == "" else "invalid"
            yield Finding(line, f"{kind} sequence number [{text}] {where}: must be in 1..{limit}")
        elif int(text) in seen:
            yield Finding(line, f"sequence number {text} is repeated {where}, first on line {seen[int(text)]}")
        else:
            seen[int(text)] = line


def check_shots(shots: Iterable[tuple[str | None, int]], where: str, rules: Rules) -> Iterator[Finding]:
    """The faults of shots (ids with lines): each must exist, have the form of the collection, and be there once."""
    seen: dict[str, int] = {}
    for shot, line in shots:
        if shot is None:
            continue
        if reason := rules.shot_problem(shot):
            yield Finding(line, f"invalid shot ID [{shot}] {where}: {reason}")
        elif shot in seen:
            yield Finding(line, f"shot {shot} is repeated {where}, first on line {seen[shot]}")
        seen.setdefault(shot, line)


def _check_box(item: _Element, line: int, where: str) -> Iterator[Finding]:
    for name in ("elapsedTime", "timeStamp"):
        if name in item.attrib and SECONDS.fullmatch(item.attrib[name]) is None:
            yield Finding(line, f'{name} "{item.attrib[name]}" {where} is not a number of seconds')
    present = [name for name in BOX if name in item.attrib]
    if present and (len(present) < len(BOX) or "timeStamp" not in item.attrib):
        yield Finding(line, f"a box {where} needs timeStamp, ulX, ulY, lrX and lrY, has {', '.join(present)}")
        return
    values = [item.attrib[name] for name in present]
    if any(WHOLE.fullmatch(value) is None for value in values):
        yield Finding(line, f"a box {where} has coordinates that are not whole numbers: {', '.join(values)}")
    elif present:
        left, top, right, bottom = (int(value) for value in values)
        if left >= right or top >= bottom:
            yield Finding(line, f"a box {where} needs lrX > ulX and lrY > ulY, has {', '.join(values)}")
