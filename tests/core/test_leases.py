"""Leases: one process gets a job, and what a process that died or fell asleep held goes to another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from avs.core import leases as module
from avs.core.errors import ConfigError
from avs.core.leases import STALE_S, Leases, Owner, living_owners, require_atomic
from avs.core.process_marks import ProcessMark, is_gone, this_process

HOLD = """
import sys
from pathlib import Path
from avs.core.leases import Owner
with Owner() as owner:
    leases = owner.sign(Path(sys.argv[1]))
    for job in sys.argv[2:]:
        assert leases.claim(job)
    print("held", flush=True)
    sys.stdin.readline()
"""


def held_by_another(folder: Path, *jobs: str) -> subprocess.Popen[str]:
    """A process that holds the leases of jobs until it reads a line."""
    words = [sys.executable, "-c", HOLD, str(folder), *jobs]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def held_elsewhere(folder: Path, job: str, *, quiet_s: float) -> Path:
    """The lease of a process of another machine, whose last sign of life was some time ago; the file it touches."""
    owner = folder / "owners" / "far-1-abcd"
    owner.parent.mkdir(parents=True, exist_ok=True)
    (folder / "leases").mkdir(exist_ok=True)
    owner.write_text(json.dumps(asdict(ProcessMark("far", "another machine", 1, "5"))))
    (folder / "leases" / f"{job}.0").write_text(owner.name)
    set_back(owner, quiet_s)
    return owner


def set_back(file: Path, seconds: float) -> None:
    time_s = file.stat().st_mtime - seconds
    os.utime(file, (time_s, time_s))


def test_one_of_many_gets_a_job(tmp_path: Path) -> None:
    with Owner() as one, Owner() as other, ThreadPoolExecutor(8) as threads:
        both = [one.sign(tmp_path), other.sign(tmp_path)]
        for job in ("000000", "000001", "000002"):
            assert sum(threads.map(lambda leases, job=job: leases.claim(job), both * 20)) == 1
        assert both[0].holder("000003") is None
        assert both[0].holder("000000") is not None


def test_a_process_that_lives_keeps_its_jobs_and_one_that_is_killed_loses_them_at_once(tmp_path: Path) -> None:
    with held_by_another(tmp_path, "000000") as other, Owner() as owner:
        leases = owner.sign(tmp_path)
        assert not leases.claim("000000")
        holder = leases.holder("000000")
        assert holder is not None and holder.surely_lives and str(holder) == f"process {other.pid} on {os.uname()[1]}"
        other.send_signal(signal.SIGSTOP)  # it gives no sign of life, and does not die
        assert not leases.claim("000000")
        other.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # dead, and its number is not given to another one
        assert leases.claim("000000") and leases.holds("000000")
        assert sorted(file.name for file in (tmp_path / "leases").iterdir()) == ["000000.0", "000000.1"]


def test_a_process_that_ends_leaves_its_jobs_to_others(tmp_path: Path) -> None:
    with Owner() as first:
        assert first.sign(tmp_path).claim("000000")
    with Owner() as owner:
        leases = owner.sign(tmp_path)
        assert leases.owners() == [] and leases.claim("000000") and not leases.claim("000000")


def test_a_number_that_another_process_got_is_not_the_process(tmp_path: Path) -> None:
    mine = this_process()
    assert not is_gone(mine)
    assert is_gone(replace(mine, started="1"))
    assert not is_gone(replace(mine, machine="another", pid=2**22, started="1")), "it cannot be known from here"
    with Owner() as owner:
        leases = owner.sign(tmp_path)
        file = held_elsewhere(tmp_path, "000000", quiet_s=0)
        file.write_text(json.dumps(asdict(replace(mine, started="1"))))
        assert leases.claim("000000")


def test_a_job_of_another_machine_is_taken_by_age_on_the_clock_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 0.0)  # clocks of machines do not matter
    with Owner() as owner:
        leases = owner.sign(tmp_path)
        file = held_elsewhere(tmp_path, "000000", quiet_s=STALE_S - 30)
        assert not leases.claim("000000")
        holder = leases.holder("000000")
        assert holder is not None and holder.lives and not holder.surely_lives
        set_back(file, 31)
        set_back(tmp_path / "owners" / owner.name, 1000)  # its last sign of life is not what the time is now
        assert leases.claim("000000")


def test_of_those_that_take_over_one_wins(tmp_path: Path) -> None:
    held_elsewhere(tmp_path, "000000", quiet_s=STALE_S + 1)
    with Owner() as one, Owner() as other, ThreadPoolExecutor(8) as threads:
        both = [one.sign(tmp_path), other.sign(tmp_path)]
        assert sum(threads.map(lambda leases: leases.claim("000000"), both * 20)) == 1


def test_one_that_was_asleep_sees_that_another_took_over(tmp_path: Path) -> None:
    with Owner() as asleep, Owner() as awake:
        old, new = asleep.sign(tmp_path), awake.sign(tmp_path)
        assert old.claim("assembly") and old.holds("assembly")
        set_back(tmp_path / "owners" / asleep.name, STALE_S + 1)
        assert new.claim("assembly")
        assert new.holds("assembly") and not old.holds("assembly")


def test_a_lease_that_a_kill_left_without_a_name_is_free_in_time(tmp_path: Path) -> None:
    with Owner() as owner:
        leases = owner.sign(tmp_path)
        lease = tmp_path / "leases/000000.0"
        lease.touch()
        assert not leases.claim("000000"), "its maker may be about to write its name"
        set_back(lease, STALE_S + 1)
        assert leases.claim("000000")


def test_an_owner_gives_signs_of_life_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    with Owner() as owner:
        owner.sign(tmp_path)
        file = tmp_path / "owners" / owner.name
        set_back(file, 1000)
        before = file.stat().st_mtime
        while file.stat().st_mtime < before + 500:
            pass
    assert not file.exists()


def test_a_folder_that_is_gone_gives_no_jobs(tmp_path: Path) -> None:
    with Owner() as owner:
        leases = owner.sign(tmp_path / "parts")
        (tmp_path / "parts").rename(tmp_path / "old")
        assert not leases.claim("000000") and leases.holder("000000") is None and not leases.holds("assembly")


def test_who_is_at_work_can_be_asked_from_outside(tmp_path: Path) -> None:
    assert list(living_owners(tmp_path)) == [] and list(tmp_path.iterdir()) == []
    held_elsewhere(tmp_path, "000000", quiet_s=STALE_S + 1)
    assert list(living_owners(tmp_path)) == []
    with held_by_another(tmp_path) as other:
        assert [str(holder) for holder in living_owners(tmp_path)] == [f"process {other.pid} on {os.uname()[1]}"]
        other.communicate("done\n")
    assert [file.name for file in (tmp_path / "owners").iterdir()] == ["far-1-abcd"]


def test_a_file_system_that_makes_a_file_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_atomic(tmp_path)
    monkeypatch.setattr(
        module, "open", lambda file, mode, **options: open(file, mode.replace("x", "w"), **options), raising=False
    )
    with pytest.raises(ConfigError, match="does not let processes share the work") as caught:
        require_atomic(tmp_path)
    assert "made once more" in str(caught.value.got) and "-o" in str(caught.value.next_step)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", ["copies", "refuses"])
def test_a_file_system_without_atomic_rename_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def rename(source: Path, target: Path) -> None:
        if how == "refuses":
            raise FileExistsError(17, "File exists", str(target))
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(os, "replace", rename)
    with pytest.raises(ConfigError, match="does not let processes share the work"):
        require_atomic(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_leases_travel_to_worker_processes() -> None:
    import pickle

    leases = Leases(Path("parts"), "me")
    assert pickle.loads(pickle.dumps(leases)) == leases
