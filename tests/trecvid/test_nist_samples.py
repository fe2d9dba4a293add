"""Golden: every sample run of NIST's checker is accepted or refused as its .errlog says, fault by fault.

The .errlog files were written by NIST's CheckAdhocSubmissions for TRECVID 2024. Each of its lines is turned into
(words, line) that one of our findings must have; and we must find nothing that NIST does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from avs.trecvid.check import check_run
from avs.trecvid.editions import get_edition
from avs.trecvid.findings import Finding
from avs.trecvid.valid_shots import read_valid_shots

SAMPLES = [
    "all.OK.M", "all.OK.M.explain", "empty.desc.M", "empty.pid.M", "empty.seq.M", "empty.shotid.M", "empty.time.M",
    "empty.topic.M", "invalid.trType.class.task.novelty.priority.M", "wrong.shotID.M", "wrong.topic.M", "wrong.xml.M",
]  # fmt: skip
# Each of NIST's messages, as a pattern, and the words ours has for it.
MESSAGES = {
    r'Error\] .*:(?P<line>\d+):\d+: Attribute "(\w+)" is required': 'attribute "{1}" is missing',
    r'Error\] .*:(?P<line>\d+):\d+: Attribute "(\w+)" with value "(\w+)" must have a value from the list "(.*) "': (
        'attribute "{1}" is "{2}", must be one of {3}'
    ),
    r"Fatal Error\] .*:(?P<line>\d+):\d+: The element type": "not readable as XML",
    r"Error: Empty pid provided in run# 1": "empty pid in run# 1",
    r"Error: Empty sequence number provided for query (\d+) in run# 1 of UIT": (
        "empty sequence number [] for query {0} in run# 1 of UIT"
    ),
    r"Error: Invalid result item sequence number \[\] for query (\d+) in run# 1 of UIT": (
        "sequence number [] for query {0} in run# 1 of UIT"
    ),
    r"Error: Invalid shot ID \[(.*)\] for query (\d+) in run# 1 of UIT": (
        "invalid shot ID [{0}] for query {1} in run# 1 of UIT"
    ),
    r"Error: Invalid query \[(\d+)\] in run# 1": "invalid query [{0}] in run# 1",
    r"Error: Missing results for query (\d+) in run# 1 of UIT": "missing results for query {0} in run# 1 of UIT",
    r'NumberFormatException: For input string: "": elapsedTime': 'elapsedTime ""',
    r'NumberFormatException: For input string: "": tNum': "empty tNum",
}
SAYS_NOTHING = re.compile(r"No errors found|(Started|Finished) processing|.*: Error --- |.* elems, .* attrs|\tat |\s*$")
# NIST's checker dies at the first of these; what comes after it, only ours can say.
AFTER_ITS_END = {
    "empty.time.M": ['elapsedTime "" for query 757'],
    "empty.topic.M": ["missing results for query 765"],
    "wrong.xml.M": ["not readable as XML"],
}


def expected(errlog: str) -> Iterator[tuple[str, int | None]]:
    for line in errlog.splitlines():
        for pattern, ours in MESSAGES.items():
            if match := re.search(pattern, line):
                yield ours.format(*match.groups()), int(match["line"]) if "line" in match.groupdict() else None
                break
        else:
            told_again = line == 'java.lang.NumberFormatException: For input string: ""'
            assert told_again or SAYS_NOTHING.match(line), f"a message no pattern knows: {line}"


@pytest.mark.parametrize("sample", SAMPLES)
def test_accepted_or_refused_as_nist_does(shared: Callable[[str], Path], sample: str) -> None:
    folder = shared("nist/sample_runs")
    assert sorted(SAMPLES) == sorted(p.name.split(".video")[0] for p in folder.glob("*.xml"))
    run = folder / f"{sample}.videoFeatureExtractionResults.xml"
    errlog = run.with_name(run.name + ".errlog").read_text()
    report = check_run(run, get_edition("tv24"), read_valid_shots(shared("nist/V3C2.validShotTable")))
    assert report.ok == errlog.startswith("No errors found")

    wanted = list(expected(errlog))
    assert bool(wanted) != report.ok
    for words, line in wanted:
        assert any(words in f.what and line in (None, f.line) for f in report.findings), f"{words} (line {line})"
    known = [words for words, _ in wanted] + AFTER_ITS_END.get(sample, [])
    assert [finding for finding in report.findings if not any(words in finding.what for words in known)] == []


def test_the_progress_task_of_the_same_file_is_refused(shared: Callable[[str], Path]) -> None:
    run = shared("nist/sample_runs") / "all.OK.M.videoFeatureExtractionResults.xml"
    shots = read_valid_shots(shared("nist/V3C2.validShotTable"))
    report = check_run(run, get_edition("tv24"), shots, task="P")
    assert report.findings[0] == Finding(5, 'run# 1 of UIT is for task "M", must be "P"')
