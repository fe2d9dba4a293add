"""A run file for NIST: rendered from ranked lists under NIST's run id, and refused if the check finds a fault."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avs.core.artifacts import require_path
from avs.core.errors import ConfigError, FormatError, Problems
from avs.core.ranking import RankedList, Run
from avs.trecvid.check import check_run
from avs.trecvid.editions import PID, Edition, team_of
from avs.trecvid.findings import CheckReport, raise_findings
from avs.trecvid.run_xml import Explanation, render_run_xml
from avs.trecvid.valid_shots import ValidShots

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """A run file that NIST accepts, not yet written.

    Attributes:
        file_name: NIST's run id and `.xml`.
        data: the content.
        report: of its check, without findings.
        cut_topics: topics whose lists were longer than the edition takes; their best shots were kept.
    """

    file_name: str
    data: bytes
    report: CheckReport
    cut_topics: tuple[str, ...]


def run_file_name(edition: Edition, attributes: Mapping[str, str]) -> str:
    """The file name of a run: NIST's run id and `.xml`, such as `F_M_C_D_TEAM.24_1.xml`.

    Raises:
        ConfigError: a required attribute is missing, an attribute is not a plain word, or the team cannot be read back
            from the name.
    """
    problems = Problems(f"a run of {edition.id}")
    for attribute in edition.attributes:
        name = attribute.name
        if attribute.required and name not in attributes:
            values = f", one of {' '.join(attribute.values)}" if attribute.values else ""
            problems.add(f"--{name.lower()}", f"required{values}")
        elif name == "pid" and PID.fullmatch(attributes[name]) is None:
            what = f'must be letters, digits, "_" and "-", the first a letter or digit; got "{attributes[name]}"'
            problems.add("--pid", what)
        elif name in attributes and name not in ("desc", "pid") and WORD.fullmatch(attributes[name]) is None:
            problems.add(f"--{name.lower()}", f'must be a plain word, got "{attributes[name]}"')
    known = {attribute.name for attribute in edition.attributes}
    for name in sorted(set(attributes) - known):
        problems.add(f"--{name.lower()}", f"runs of {edition.id} have no such attribute: leave it out")
    problems.raise_if_any(ConfigError)
    run_id = edition.run_id(attributes)
    if team_of(run_id) != attributes["pid"]:
        raise ConfigError(
            "the team cannot be told from the run id", where="--pid", got=run_id, wanted="another team id"
        )
    return f"{run_id}.xml"


def checked_run(
    run: Run,
    edition: Edition,
    attributes: Mapping[str, str],
    shots: ValidShots,
    *,
    topics: Sequence[str],
    elapsed_s: Mapping[str, int],
    explanations: Mapping[tuple[str, str], Explanation] | None = None,
) -> CheckedRun:
    """The run file of a run, checked.

    Args:
        run: one list for each of `topics`, and no other; lists longer than the edition takes are cut.
        attributes: by the DTD's names (trType, class, task, novelty, pid, priority, desc, algo).
        shots: of the collection.
        topics: ids, in the order of the run file.
        elapsed_s: topic -> whole seconds.
        explanations: (topic, shot) -> box, for editions that accept them.

    Raises:
        ConfigError: attributes that the edition requires or does not have.
        FormatError: missing, empty or additional topics, or the findings of `check_run`; all at once.
    """
    file_name = run_file_name(edition, attributes)
    _check_topics(run, topics)
    limit = edition.max_results
    lists = {topic: _best(run.lists[topic], limit) for topic in topics}
    data = render_run_xml(Run(lists, run.tag), edition, attributes, elapsed_s=elapsed_s, explanations=explanations)
    own = topics if not edition.topics else None
    report = check_run(data, edition, shots, name=f"{file_name} (not written)", topics=own)
    raise_findings([report], next_step="correct the ranked list or the options; nothing was written")
    return CheckedRun(file_name, data, report, tuple(t for t in topics if len(run.lists[t]) > limit))


def _best(ranked: RankedList, limit: int) -> RankedList:
    return RankedList(ranked.topic, ranked.shots[:limit], ranked.scores[:limit])


def _check_topics(run: Run, topics: Sequence[str]) -> None:
    problems = Problems(f"run {run.tag}")
    for topic in topics:
        if topic not in run.lists:
            problems.add(f"topic {topic}", "no list")
        elif not len(run.lists[topic]):
            problems.add(f"topic {topic}", "its list is empty")
    for topic in run.lists:
        if topic not in topics:
            problems.add(f"topic {topic}", "not among the topics")
    problems.raise_if_any(FormatError, next_step="give one list for each topic of the topic file, and no other")


def read_elapsed(seconds_or_file: str, topics: Sequence[str]) -> dict[str, int]:
    """Topic -> its seconds, rounded up: from one number for all topics, or a file of lines `topic seconds`.

    Raises:
        AvsError: neither a number nor a file.
        FormatError: lines that are not a topic and a number; topics without a line.
    """
    if (seconds := _seconds(seconds_or_file)) is not None:
        return dict.fromkeys(topics, seconds)
    path = require_path(Path(seconds_or_file), what="file of elapsed seconds (nor is it a number)")
    problems = Problems(f"elapsed seconds {path}")
    seconds_of: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        words = line.split()
        seconds = _seconds(words[1]) if len(words) == 2 else None
        if words and seconds is None:
            problems.add(f"{path}:{number}", f"expected a topic and its seconds, got {line!r}")
        elif seconds is not None:
            seconds_of[words[0]] = seconds
    for topic in topics:
        if topic not in seconds_of:
            problems.add(path, f"no line for topic {topic}")
    problems.raise_if_any(FormatError)
    return {topic: seconds_of[topic] for topic in topics}


def _seconds(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return math.ceil(value) if 0 <= value < math.inf else None
