"""Leases of jobs in a folder that several processes share, also of several machines. None of them is in charge.

    owners/<owner>              which process it is; its time is touched every 10 s for as long as the process lives
    leases/<job>.<generation>   which owner does the job; the highest generation counts

A lease is a file that is made exclusively, so one process gets it. It is void when its owner has left, or is not alive:
at once if that was a process of this machine that is gone, and else when its time is 120 s behind. Times are compared
with a file that the asking process has just touched in the same folder, so the clocks of machines do not matter. The
next generation of a void lease is made exclusively too.

An owner that was only asleep wakes up with a lease that another has. What it does then must do no harm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from secrets import token_hex
from threading import Event, Thread

from avs.core.errors import ConfigError
from avs.core.process_marks import ProcessMark, is_gone, machine_name, this_process

HEARTBEAT_S = 10.0
STALE_S = 120.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, or is at work in a folder.

    Attributes:
        owner: its name.
        process: its process; None when its file cannot be read.
        beat_s: time of its last sign of life, by the clock of the folder.
        quiet_s: seconds since then; infinity when it has left or its process is gone.
    """

    owner: str
    process: ProcessMark | None
    beat_s: float
    quiet_s: float

    @property
    def lives(self) -> bool:
        """Whether its leases count."""
        return self.quiet_s <= STALE_S

    @property
    def surely_lives(self) -> bool:
        """Whether it counts and this machine sees its process."""
        return self.lives and self.process is not None and self.process.machine == machine_name()

    def __str__(self) -> str:
        return self.owner if self.process is None else f"process {self.process.pid} on {self.process.host}"


class Owner:
    """A process that takes leases, and gives signs of life while this context lasts. Then all its leases are void."""

    def __init__(self) -> None:
        self.process = this_process()
        self.name = f"{self.process.host}-{self.process.pid}-{token_hex(4)}"
        self._files: list[Path] = []
        self._over = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def sign(self, folder: Path) -> Leases:
        """Be an owner in a folder, and take leases there.

        Raises:
            OSError: the folder cannot be written.
        """
        for place in ("owners", "leases"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        file = folder / "owners" / self.name
        beside = file.with_name(f".{self.name}")
        beside.write_text(json.dumps(asdict(self.process)), encoding="utf-8")
        os.replace(beside, file)
        self._files.append(file)
        return Leases(folder, self.name)

    def __enter__(self) -> Owner:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for file in self._files:
            with suppress(OSError):
                file.unlink()

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT_S):
            for file in self._files:
                with suppress(OSError):  # the folder may be done with; and a network comes back
                    os.utime(file)


@dataclass(frozen=True, slots=True)
class Leases:
    """The leases of a folder, as one owner sees and takes them; also for the worker processes of the owner.

    Attributes:
        folder: the folder.
        owner: name of the owner.
    """

    folder: Path
    owner: str

    def claim(self, job: str) -> bool:
        """Take the lease of a job; False if somebody who lives has it, or the folder is no longer there."""
        for generation in count():
            try:
                with open(self._lease(job, generation), "x", encoding="utf-8") as file:
                    file.write(self.owner)
                return True
            except FileExistsError:
                holder = self._holder_of(job, generation)
                if holder is not None and holder.lives:
                    return False
            except FileNotFoundError:
                return False
        raise AssertionError("there is always another generation")

    def holds(self, job: str) -> bool:
        """Whether the last lease of a job is this owner's."""
        holder = self.holder(job)
        return holder is not None and holder.owner == self.owner

    def holder(self, job: str) -> Holder | None:
        """Who has the last lease of a job, alive or not; None: nobody took one."""
        last = None
        for generation in count():
            if not self._lease(job, generation).exists():
                return last
            last = self._holder_of(job, generation)
        raise AssertionError("there is always another generation")

    def owners(self) -> list[Holder]:
        """All owners of the folder but this one, alive or not."""
        files = sorted((self.folder / "owners").glob("[!.]*"))
        return [self._owner(file.name) for file in files if file.name != self.owner]

    def _lease(self, job: str, generation: int) -> Path:
        return self.folder / "leases" / f"{job}.{generation}"

    def _holder_of(self, job: str, generation: int) -> Holder | None:
        """Who made a lease; None when it has gone since."""
        lease = self._lease(job, generation)
        try:
            owner, made_s = lease.read_text(encoding="utf-8"), lease.stat().st_mtime
        except FileNotFoundError:
            return None
        if owner:
            return self._owner(owner)
        return Holder("a process that has just begun", None, made_s, self._now_s() - made_s)  # or that was killed then

    def _owner(self, name: str) -> Holder:
        file = self.folder / "owners" / name
        try:
            process = ProcessMark(**json.loads(file.read_text(encoding="utf-8")))
            now_s, beat_s = self._now_s(), file.stat().st_mtime
        except FileNotFoundError:
            return Holder(name, None, 0.0, float("inf"))
        return Holder(name, process, beat_s, float("inf") if is_gone(process) else now_s - beat_s)

    def _now_s(self) -> float:
        """The time by the clock that gives the folder's files their times."""
        file = self.folder / "owners" / self.owner
        with suppress(FileNotFoundError):
            os.utime(file)
            return file.stat().st_mtime
        return 0.0  # the folder is done with


def living_owners(folder: Path) -> Iterator[Holder]:
    """The owners of a folder who live, without being one; leaves nothing in the folder."""
    if not (folder / "owners").is_dir():
        return
    probe = folder / "owners" / f".{token_hex(8)}"
    probe.touch()
    try:
        yield from (holder for holder in Leases(folder, probe.name).owners() if holder.lives)
    finally:
        probe.unlink(missing_ok=True)


def take_back(folder: Path, process: ProcessMark) -> None:
    """Make the leases of a process void, for one who knows that it is gone; otherwise they count for STALE_S.

    If it lives after all, it is as one that was asleep.
    """
    for file in (folder / "owners").glob("[!.]*"):
        with suppress(OSError, ValueError):  # another may have removed it
            if json.loads(file.read_text(encoding="utf-8")) == asdict(process):
                file.unlink()


def require_atomic(folder: Path, *, exclusive: bool = True) -> None:
    """Check that the file system of a folder renames files at once, and makes them exclusively.

    Args:
        exclusive: whether it must make files exclusively, as leases need it.

    Raises:
        ConfigError: it does not.
    """
    one, other = (folder / f".{token_hex(8)}" for _ in range(2))
    try:
        other.touch()
        twice = exclusive and _is_made_twice(other)
        one.write_text("one", encoding="utf-8")
        other.write_text("other", encoding="utf-8")
        renamed = _is_renamed(one, other)
    finally:
        one.unlink(missing_ok=True)
        other.unlink(missing_ok=True)
    if not renamed or twice:
        another_disk = "write the store on another disk (-o), and copy it when it is finished"
        raise ConfigError(
            "this file system does not let processes share the work",
            where=folder,
            got="a file that existed was made once more" if renamed else "a rename did not replace a file",
            wanted="a file system that makes files exclusively and renames them at once",
            next_step=f"give each process its share: --shard I/N; or {another_disk}" if renamed else another_disk,
        )


def _is_made_twice(file: Path) -> bool:
    """Whether a file that exists can be made exclusively."""
    try:
        with open(file, "x", encoding="utf-8"):
            return True
    except FileExistsError:
        return False


def _is_renamed(one: Path, other: Path) -> bool:
    """Whether a file replaces another one at once."""
    try:
        os.replace(one, other)
    except FileExistsError:
        return False
    return not one.exists() and other.read_text(encoding="utf-8") == "one"
