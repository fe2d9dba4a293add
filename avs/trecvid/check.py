"""The check of a run: the rules of NIST's checker, and two it lacks, for ids without zero padding and duplicate shots.

Source: NIST's CheckAdhocSubmissions and the DTDs of the runs. It differs from NIST's checker in three ways: it reports
all faults of a file at once, with lines; it never fetches the DTD; and it reads times, boxes and shot ids strictly (a
fraction in elapsedTime makes NIST's checker crash). As in NIST's pipeline the form comes first: the plain form of the
XML (`plain_form`) and the DTD (`check_structure`: our words, and lxml's where ours find nothing).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from avs.core.artifacts import require_path
from avs.core.errors import ConfigError
from avs.trecvid.check_content import Rules, check_content, unusual
from avs.trecvid.check_structure import check_dtd, check_structure
from avs.trecvid.check_trec import check_trec
from avs.trecvid.editions import Edition
from avs.trecvid.file_kind import RUN as RUN_FILE
from avs.trecvid.file_kind import other_kind
from avs.trecvid.findings import CheckReport, Finding
from avs.trecvid.plain_form import check_plain_form
from avs.trecvid.run_xml import ITEM, RUN, TOPIC
from avs.trecvid.secure_xml import is_utf16, looks_like_xml, try_parse_xml
from avs.trecvid.valid_shots import ValidShots


def check_run(
    run: Path | bytes,
    edition: Edition,
    shots: ValidShots,
    *,
    name: str | None = None,
    task: str | None = None,
    topics: Sequence[str] | None = None,
    pids: Collection[str] | None = None,
) -> CheckReport:
    """Check a run, in submission XML or in the six columns of a TREC run.

    Args:
        run: a file, or its content.
        edition: the edition whose rules apply.
        shots: the shots that exist.
        name: of the file, if `run` is its content.
        task: the task that the run must be of, "M" or "P"; by default the one that the run names.
        topics: ids of the topics that the run must have, and no other; by default the topics of the edition's task.
        pids: the registered teams; by default any team is accepted.

    Returns:
        The findings by line; if there are none, NIST accepts the file.

    Raises:
        ConfigError: `shots` are those of another collection.
        FormatError: there is no such file.
    """
    _check_collection(edition, shots)
    data = run if isinstance(run, bytes) else require_path(Path(run), what="run file").read_bytes()
    title = name or (str(run) if not isinstance(run, bytes) else "run")
    rules = Rules(edition, shots, task, tuple(topics) if topics is not None else None, pids)
    if reason := other_kind(data, RUN_FILE):
        return CheckReport(title, (Finding(1, reason),))
    if is_utf16(data):
        return CheckReport(title, (Finding(1, "the file is in UTF-16: save it in UTF-8"),))
    return _check_xml(data, title, rules) if looks_like_xml(data) else check_trec(data, title, rules)


def _check_collection(edition: Edition, shots: ValidShots) -> None:
    for video in shots.videos:
        if (reason := edition.collection.problem(f"shot{video}_1")) is not None:
            raise ConfigError(
                f"the shot table is not of {edition.id}, which searches {edition.collection.name}",
                where=shots.name,
                got=f"video {video}: {reason}",
            )


def _check_xml(data: bytes, name: str, rules: Rules) -> CheckReport:
    root, errors = try_parse_xml(data)
    if root is None:
        return CheckReport(name, tuple(Finding(line, f"not readable as XML: {what}") for line, what in errors))
    findings = [*check_plain_form(data, rules.edition), *check_structure(root, rules.edition)]
    findings = findings or list(check_dtd(root, rules.edition))
    runs = [root] if root.tag == RUN else root.findall(RUN)
    findings += [
        Finding(second.sourceline or 1, "a second run: a file is named by the id of its one run; write a file for each")
        for second in runs[1:]
    ]
    warnings: list[Finding] = []
    for number, element in enumerate(runs, start=1):
        findings += check_content(element, number, rules)
        warnings += unusual(element, rules.edition)
    topics = [topic for element in runs for topic in element.iterfind(TOPIC)]
    items = sum(1 for topic in topics for _ in topic.iterfind(ITEM))
    return CheckReport(name, tuple(sorted(findings)), len(runs), len(topics), items, tuple(sorted(warnings)))
