"""Which jobs a process gets, beside others that live, die, and sleep."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.core.leases import Leases, Owner
from avs.core.process_marks import ProcessMark
from avs.core.store_parts import job_name, part_path
from avs.features import claims as module
from avs.features.claims import LeasedClaims, Shard, ShardClaims, parse_shard

ALL = np.ones((1, 4), dtype=bool)


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Leases]:
    with Owner() as owner:
        yield owner.sign(tmp_path)


def do(leases: Leases, job: int) -> None:
    part_path(leases.folder, job).touch()


def held_elsewhere(folder: Path, job: int) -> Path:
    owner = folder / "owners/far"
    owner.write_text(json.dumps(asdict(ProcessMark("far", "another machine", 1, "5"))))
    (folder / "leases" / f"{job_name(job)}.0").write_text("far")
    return owner


def test_jobs_come_in_order_and_those_that_others_hold_are_left_to_them(
    mine: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("it waits for a process that it sees"))
    with Owner() as other:
        theirs = other.sign(mine.folder)
        assert theirs.claim(job_name(1))
        claims = iter(LeasedClaims(ALL, [mine]))
        assert next(claims) == (0, (0,))
        do(mine, 0)
        assert theirs.claim(job_name(2))
        do(theirs, 2)
        assert next(claims) == (3, (0,))
        do(mine, 3)
        assert list(claims) == [], "it lives, on this machine"


def test_a_job_is_done_for_the_stores_that_lack_it_and_that_nobody_else_fills(tmp_path: Path) -> None:
    lacking = np.array([[True, True, False], [True, False, True]])
    with Owner() as owner, Owner() as other:
        mine, theirs = ([one.sign(tmp_path / name) for name in "ab"] for one in (owner, other))
        assert theirs[1].claim(job_name(0))
        claims = LeasedClaims(lacking, mine)
        found = []
        for job, stores in claims:
            found.append((job, stores))
            for store in stores:
                do(mine[store], job)
        assert found == [(0, (0,)), (1, (0,)), (2, (1,))]


def test_a_job_that_another_worker_of_the_process_has_begun_is_left_to_it(tmp_path: Path) -> None:
    """Also for the stores that the other one has not claimed yet: both would decode it."""
    with Owner() as owner:
        mine = [owner.sign(tmp_path / name) for name in "ab"]
        assert mine[0].claim(job_name(0))
        assert list(LeasedClaims(np.ones((2, 1), dtype=bool), mine)) == []
        assert mine[1].claim(job_name(0))


def test_what_becomes_free_while_others_are_done_is_taken(mine: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Owner()
    with other:
        theirs = other.sign(mine.folder)
        assert theirs.claim(job_name(0))
        claims = iter(LeasedClaims(ALL[:, :2], [mine]))
        assert next(claims) == (1, (0,))
        do(mine, 1)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    assert next(claims) == (0, (0,))


def test_a_process_of_another_machine_is_waited_for_until_it_shows_that_it_lives(
    mine: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = held_elsewhere(mine.folder, 0)
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            later = owner.stat().st_mtime + 10
            os.utime(owner, (later, later))

    monkeypatch.setattr(module.time, "sleep", wait)
    assert list(LeasedClaims(ALL[:, :1], [mine])) == [] and len(waits) == 3


def test_a_process_of_another_machine_that_is_dead_loses_its_job_to_one_that_waits(
    mine: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = held_elsewhere(mine.folder, 0)

    def wait(seconds: float) -> None:
        earlier = owner.stat().st_mtime - 50
        os.utime(owner, (earlier, earlier))

    monkeypatch.setattr(module.time, "sleep", wait)
    assert next(iter(LeasedClaims(ALL[:, :1], [mine]))) == (0, (0,))


def test_a_process_that_dies_while_it_is_looked_at_loses_its_job(mine: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, claim = held_elsewhere(mine.folder, 0), Leases.claim

    def claim_before_it_dies(leases: Leases, job: str) -> bool:
        claimed = claim(leases, job)
        earlier = owner.stat().st_mtime - 1000
        os.utime(owner, (earlier, earlier))
        return claimed

    monkeypatch.setattr(Leases, "claim", claim_before_it_dies)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    assert next(iter(LeasedClaims(ALL[:, :1], [mine]))) == (0, (0,))


def test_what_others_have_done_in_the_meantime_is_not_waited_for(mine: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    held_elsewhere(mine.folder, 0)
    for job in range(4):
        do(mine, job)
    monkeypatch.setattr(module.time, "sleep", lambda _: pytest.fail("it waits for a process whose job is done"))
    assert list(LeasedClaims(ALL, [mine])) == []
    assert [lease.name for lease in (mine.folder / "leases").iterdir()] == ["000000.0"]


def test_a_job_whose_part_appears_before_its_lease_is_free_is_done(
    mine: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = Leases.claim

    def claim_late(leases: Leases, job: str) -> bool:
        do(mine, int(job))  # its holder wrote it, and ended
        return claim(leases, job)

    monkeypatch.setattr(Leases, "claim", claim_late)
    assert list(LeasedClaims(ALL, [mine])) == []


def test_shards_share_the_jobs_without_leases(mine: Leases) -> None:
    lacking = np.ones((2, 7), dtype=bool)
    lacking[0, 4] = False
    found = [list(ShardClaims(lacking, Shard(number, 3))) for number in range(3)]
    assert found == [
        [(0, (0, 1)), (3, (0, 1)), (6, (0, 1))],
        [(1, (0, 1)), (4, (1,))],
        [(2, (0, 1)), (5, (0, 1))],
    ]
    assert not list((mine.folder / "leases").iterdir())


@pytest.mark.parametrize("text", ["3/3", "4/3", "1", "a/3", "-1/3", "0/0", "1/3 "])
def test_a_shard_counts_from_0(text: str) -> None:
    assert parse_shard("2/3") == Shard(2, 3)
    with pytest.raises(ConfigError, match="is no shard") as caught:
        parse_shard(text)
    assert "SLURM_ARRAY_TASK_ID" in str(caught.value.next_step)
