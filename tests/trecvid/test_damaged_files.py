"""Property: whatever happens to a file, readers answer with a result or an error a user can act on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import AvsError
from avs.trecvid.check import check_run
from avs.trecvid.editions import get_edition
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_xml import read_run_xml
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import read_trec, read_trec_columns
from avs.trecvid.valid_shots import ValidShots, read_valid_shots

SHOTS = ValidShots({"07476": range(1, 6)}, frozenset(), "table")
XML = (
    '<!DOCTYPE videoAdhocSearchResults SYSTEM "https://x/tv2024/dtds/videoAdhocSearchResults.dtd">\n'
    "<videoAdhocSearchResults>\n"
    '<videoAdhocSearchRunResult trType="D" class="F" task="M" novelty="C" pid="T" priority="1" desc="x">\n'
    '<videoAdhocSearchTopicResult tNum="751" elapsedTime="5">\n'
    '<item seqNum="1" shotId="shot07476_1" timeStamp="1" ulX="1" ulY="2" lrX="3" lrY="4"/>\n'
    "</videoAdhocSearchTopicResult>\n</videoAdhocSearchRunResult>\n</videoAdhocSearchResults>\n"
)
TREC = "1751 0 shot07476_1 1 0.5 T\n1751 0 shot07476_2 2 0.25 T\n1752 0 shot07476_1 1 -1e-3 T\n"
QRELS = "1751 0 shot07476_1 1 1\n1751 0 shot07476_2 3 -1\n1752 0 shot07476_1 2 0\n"
TOPICS = "751  a man\n752  a woman with a dog\n"
TOPICS_XML = '<topics><topic num="751"><textDescription text="a man"/></topic></topics>'
TABLE = "07476 15\n07477 112\n"


def check(path: Path) -> None:
    report = check_run(path, get_edition("tv24"), SHOTS)
    assert all(finding.line >= 1 and finding.what for finding in report.findings)


READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "check xml": (check, XML),
    "check trec": (check, TREC),
    "run xml": (lambda path: [run.run for run in read_run_xml(path)], XML),
    "trec": (read_trec, TREC),
    "trec columns": (read_trec_columns, TREC),
    "qrels": (read_qrels, QRELS),
    "plain qrels": (read_qrels, "1 0 a 1\n1 0 b 0\n"),
    "topics": (lambda path: read_topics(path, edition="tv24"), TOPICS),
    "topics xml": (read_topics, TOPICS_XML),
    "shot table": (read_valid_shots, TABLE),
    "shot list": (read_valid_shots, "shot07476_1\nshot07476_2\n"),
    "avs shot table": (read_valid_shots, "shot\tvideo\tstart_s\tend_s\nshota_1\ta\t0.0\t1.0\n"),
}
PIECES = [
    *(
        b"",
        b"\x00",
        b"\xff",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b"-",
        b"0",
        b"9" * 30,
        b"9" * 5000,
        b"nan",
        b"<",
        b">",
        b'"',
        b"&x;",
    ),
    *(text.encode() for text in ("_", "\u00b2", "\u0661", "<!-- x -->", "\ufeff")),
]


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """`data` with one to three places cut, doubled, or replaced."""
    for _ in range(random.integers(1, 4)):
        start, length = int(random.integers(len(data) + 1)), int(random.integers(0, 12))
        piece = PIECES[random.integers(len(PIECES))]
        kept = data[start : start + length] * int(random.integers(0, 3))
        data = data[:start] + kept + piece + data[start + length :]
    return data


@pytest.mark.parametrize("name", READERS)
def test_damage_is_reported(tmp_path: Path, name: str) -> None:
    read, text = READERS[name]
    random = np.random.default_rng(0)
    path = tmp_path / "file"
    path.write_text(text)
    read(path)
    refused = 0
    for _ in range(120):
        path.write_bytes(damaged(text.encode(), random))
        try:
            read(path)
        except AvsError as error:
            refused += 1
            assert str(error)
    assert refused > 10 or name.startswith("check")
