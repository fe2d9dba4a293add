"""The journal: what is appended is read again, whatever a kill leaves of the last line."""

from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.journal import Journal

RECORDS = [{"unit": 0, "text": "été\n"}, {"unit": 1, "text": ""}, [1, None]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "journal")
    for record in RECORDS:
        journal.append(record)
    return journal.path


def test_records_are_read_again(path: Path) -> None:
    assert Journal(path).records == RECORDS
    assert Journal(path.with_name("absent")).records == []


def test_a_cut_at_any_byte_loses_the_last_line_alone_and_the_next_one_replaces_it(path: Path) -> None:
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    for end in range(last, len(whole)):
        path.write_bytes(whole[:end])
        journal = Journal(path)
        assert journal.records == RECORDS[:2] and journal.damaged == []
        journal.append(RECORDS[2])
        assert path.read_bytes() == whole


def test_a_line_that_was_changed_is_not_read(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"unit": 1', b'"unit": 2'))
    journal = Journal(path)
    assert journal.records == [RECORDS[0], RECORDS[2]] and journal.damaged == [2]
    journal.append(RECORDS[1])
    assert Journal(path).records == [RECORDS[0], RECORDS[2], RECORDS[1]]
