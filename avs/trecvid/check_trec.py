"""The same rules for a run in TREC's six columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from avs.core.errors import FormatError
from avs.trecvid.check_content import Rules, check_shots, check_topics
from avs.trecvid.findings import CheckReport, Finding
from avs.trecvid.trec import FIELDS, match_topic_ids

Line = tuple[int, list[str]]  # line number and its fields


def check_trec(data: bytes, name: str, rules: Rules) -> CheckReport:
    """The faults of a TREC run: fields, topics, shots, scores, and the order of the scores of a topic."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return CheckReport(name, (Finding(1, f"neither XML nor UTF-8 text: {error}"),))
    findings: list[Finding] = []
    lists: dict[str, list[Line]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if len(fields) == FIELDS:
            lists.setdefault(fields[0], []).append((number, fields))
        elif fields:
            findings.append(Finding(number, f"expected {FIELDS} fields, got {len(fields)}"))
    if not lists and not findings:
        findings.append(Finding(1, "the file is empty"))
    plain = _plain_ids(lists, rules, findings)
    first_of_tag: dict[str, int] = {}
    for number, fields in (line for lines in lists.values() for line in lines):
        first_of_tag[fields[5]] = min(number, first_of_tag.get(fields[5], number))
    tag, *others = sorted(first_of_tag, key=first_of_tag.__getitem__) or [""]
    findings += [
        Finding(first_of_tag[other], f'a second run, tagged "{other}" after "{tag}"; write a file for each')
        for other in others
    ]
    task = rules.task or _task_of(list(plain.values()), rules)
    firsts = [(plain[topic], lines[0][0]) for topic, lines in lists.items()]
    findings += check_topics(firsts, 1, f"run {tag}", task, rules)
    for topic, lines in lists.items():
        findings += _check_list(lines, f"for query {plain[topic]}", rules)
    return CheckReport(name, tuple(sorted(findings)), 1, len(lists), sum(map(len, lists.values())))


def _plain_ids(lists: dict[str, list[Line]], rules: Rules, findings: list[Finding]) -> dict[str, str]:
    known = rules.topics or [t for task in rules.edition.topics for t in rules.edition.topic_ids(task) or ()]
    try:
        return match_topic_ids(lists, known)
    except FormatError as error:
        findings.append(Finding(1, f"{error.what}: {error.got}"))
        return {topic: topic for topic in lists}


def _task_of(topics: Sequence[str], rules: Rules) -> str:
    """The task that most topics are of, because a TREC run does not name its task."""
    tasks = [task for topic in topics if (task := rules.edition.task_of(topic))]
    return max(set(tasks), key=tasks.count, default="M")


def _check_list(lines: list[Line], where: str, rules: Rules) -> list[Finding]:
    findings = list(check_shots(((fields[2], number) for number, fields in lines), where, rules))
    if len(lines) > rules.edition.max_results:
        over = lines[rules.edition.max_results][0]
        findings.append(Finding(over, f"{len(lines)} shots {where}, NIST takes at most {rules.edition.max_results}"))
    above = math.inf
    for number, fields in lines:
        try:
            score = float(fields[4])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            findings.append(Finding(number, f'the score "{fields[4]}" {where} is not a finite number'))
            continue
        if score > above:
            findings.append(Finding(number, f"the score {fields[4]} {where} is above the one before it, {above:g}"))
        above = score
    return findings
