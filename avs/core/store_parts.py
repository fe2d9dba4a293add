"""A store that is being made by any number of processes: its parts, and putting them together.

    parts/manifest.json     what every process must agree on (avs.core.store_plan)
    parts/<job>.part        the features of one job (avs.core.store_part)
    parts/owners, leases    who does which job (avs.core.leases)
    parts/logs              what each job took (avs.features.work_log)

Jobs follow each other in the order of the shot table, so the parts, one after the other, are the store.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np

from avs.core.artifacts import Manifest, complete_folder
from avs.core.errors import FormatError, Problems, StoreError
from avs.core.ids import some
from avs.core.leases import Leases, Owner, living_owners, require_atomic
from avs.core.spec import EmbedderSpec
from avs.core.store import STORE_TYPE, FeatureStore, Level
from avs.core.store_files import WrittenFiles, all_failed, finished_manifest, write_store_files
from avs.core.store_part import StorePart, read_header, read_part, write_part
from avs.core.store_plan import PLAN, WorkPlan, plan_record, require_same_plan

PARTS = "parts"
ASSEMBLY = "assembly"
PARTS_AHEAD = 2  # that are in memory besides the one that is written


@dataclass(frozen=True, slots=True)
class UnfinishedStore:
    """A store that lacks jobs which other processes do, or which another process puts together now.

    Attributes:
        folder: its folder.
        spec, level: of the store.
        jobs, done: number of all jobs, and of those that are done.
        holders: who does the others, and how many; or who puts the store together. Jobs that nobody holds are those of
            other shards.
    """

    folder: Path
    spec: EmbedderSpec
    level: Level
    jobs: int
    done: int
    holders: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        names = ", ".join(self.holders)
        if self.done == self.jobs:
            return f"{self.folder}: {names or 'another process'} puts the store together"
        left = self.jobs - self.done
        if sum(self.holders.values()) == left:
            return f"{self.folder}: {left} of {self.jobs} jobs are with {names}; the last one puts the store together"
        return (
            f"{self.folder}: {left} of {self.jobs} jobs are left for other shards; the last one puts the store together"
        )


@dataclass(frozen=True, slots=True)
class SharedWriter:
    """What a store is to be, for one of the processes that write it together.

    Args:
        folder: where the store is written.
        manifest: config (with "level"), inputs and spec that decide the content.
        dtype: of the stored vectors.
        extra_files: name -> writer of a file that the store gets besides, such as the table of its videos.
        telling_files: name -> writer of a file that tells how the store was made. It is called when all others lie
            beside its path. Such a file decides nothing: no hash of it is recorded.

    Raises:
        StoreError: the manifest is not that of a store.
    """

    folder: Path
    manifest: Manifest
    dtype: str = "float16"
    extra_files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    telling_files: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.manifest.spec is None or self.manifest.type != STORE_TYPE:
            raise StoreError("a feature store's manifest needs a spec", got=self.manifest.type, wanted=STORE_TYPE)

    @property
    def spec(self) -> EmbedderSpec:
        """The encoder of the vectors."""
        return EmbedderSpec.from_json(dict(self.manifest.spec or {}))

    @property
    def level(self) -> Level:
        """Whether a row is a shot or a frame."""
        level: Level = self.manifest.config["level"]
        return level

    @property
    def keep(self) -> int:
        """Number of frames or clips of a shot at most, at frame level; 0: all."""
        return int(self.manifest.config.get("keep", 0))

    def join(self, plan: WorkPlan, owner: Owner, *, leased: bool = True) -> StoreParts:
        """The parts of the store; makes their folder if there is none.

        Args:
            plan: how the work is cut.
            owner: this process.
            leased: jobs will be leased, so the file system must be fit for it.

        Raises:
            ChangedInputsError: the parts there are of other inputs, settings, versions or batches.
            ConfigError: the file system does not make files exclusively, or does not rename them at once.
        """
        record, parts = plan_record(self.manifest, plan), self.folder / PARTS
        if not parts.is_dir():
            _found(parts, record, by=owner.name)
        require_same_plan(parts, record)
        require_atomic(parts, exclusive=leased)
        mark = hashlib.sha256(json.dumps([record["fingerprint"], record["plan"]]).encode()).hexdigest()
        return StoreParts(self, plan, mark, owner.sign(parts), leased)


def _found(parts: Path, record: Mapping[str, Any], *, by: str) -> None:
    """Make the folder of the parts with its record in it, in one step; another process may be faster."""
    parts.parent.mkdir(parents=True, exist_ok=True)
    beside = parts.with_name(f".{PARTS}-new-{by}")
    beside.mkdir()
    try:
        (beside / PLAN).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        os.rename(beside, parts)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # a folder with files in it is not replaced
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@dataclass(frozen=True, slots=True, eq=False)
class StoreParts:
    """The parts of a store under way, as one of the processes that write it sees them.

    Args:
        store: what the store is to be.
        plan: how the work is cut.
        mark: fingerprint of the plan and the store, which each part carries.
        leases: of the jobs.
        leased: whether jobs are leased; False: every process knows which are its own.
    """

    store: SharedWriter
    plan: WorkPlan
    mark: str
    leases: Leases
    leased: bool = True

    @property
    def folder(self) -> Path:
        """The folder of the parts."""
        return self.leases.folder

    @property
    def finished(self) -> bool:
        """Whether the store is there, by whatever process."""
        return (self.store.folder / "manifest.json").is_file()

    def done(self) -> np.ndarray:
        """(J,) bool: the jobs whose parts are there."""
        done = np.zeros(self.plan.jobs, dtype=bool)
        with suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            done[[int(entry.name[:-5]) for entry in entries if entry.name.endswith(".part")]] = True
        return done | self.finished

    def write(self, job: int, part: StorePart) -> None:
        """Write the part of a job. If another process was faster, its part stays, or the store that it finished.

        Raises:
            StoreError: the part is not of this job; or the parts are gone, and there is no store.
        """
        place, header = (part.header.first, part.header.shots), replace(part.header, plan=self.mark)
        if place != self._place(job):
            raise StoreError("a part is not that of its job", where=self.folder, got=place, wanted=self._place(job))
        try:
            write_part(part_path(self.folder, job), replace(part, header=header), by=self.leases.owner)
        except FileNotFoundError as error:
            self._require_finished(error)

    def finish(self, ids: Sequence[str], *, seconds: float = 0.0) -> FeatureStore | UnfinishedStore:
        """The store, put together of its parts if all are there and no other process does so; or what it lacks.

        Args:
            ids: of all shots of the table.
            seconds: what the manifest says of the time it took.

        Raises:
            StoreError: parts are damaged, which are removed now; all shots failed; or the parts are gone.
        """
        done = self.done()
        if not self.finished and not done.all():
            if not self.folder.is_dir():
                self._require_finished(None)
            return self._unfinished(done)
        if not self.finished and self.leases.claim(ASSEMBLY):
            try:
                self._assemble(ids, seconds)
            except FileNotFoundError as error:  # another process did it while this one was asleep
                if not self.folder.is_dir():
                    self._require_finished(error)
        if not self.finished:
            return self._unfinished(self.done())
        discard_parts(self.store.folder)
        return FeatureStore(self.store.folder)

    def _place(self, job: int) -> tuple[int, int]:
        """The row of the first shot of a job, and the number of its shots."""
        first, end = self.plan.first[job : job + 2].tolist()
        return first, end - first

    def _require_finished(self, error: FileNotFoundError | None) -> None:
        if not self.finished:
            raise StoreError(
                "the parts of the store are gone: somebody removed them, or began anew with --force",
                where=self.folder,
                got=error.filename if error else None,
                next_step="run the same command again",
            ) from error

    def _unfinished(self, done: np.ndarray) -> UnfinishedStore:
        holders: dict[str, int] = {}
        for job in [ASSEMBLY] if done.all() else map(job_name, np.flatnonzero(~done).tolist()) if self.leased else []:
            holder = self.leases.holder(job)
            if holder is not None:
                holders[str(holder)] = holders.get(str(holder), 0) + 1
        store = self.store
        return UnfinishedStore(store.folder, store.spec, store.level, len(done), int(done.sum()), holders)

    def _assemble(self, ids: Sequence[str], seconds: float) -> None:
        """Write the store's files beside the parts, move them to their places, and write the manifest.

        Nothing is moved if another process took over in the meantime.
        """
        staging = self.folder / f".{ASSEMBLY}-{self.leases.owner}"
        staging.mkdir(exist_ok=True)
        try:
            written = self._write_files(staging, ids)
            for name, write in {**self.store.extra_files, **self.store.telling_files}.items():
                write(staging / name)
            if not self.leases.holds(ASSEMBLY):
                return
            for file in sorted(staging.iterdir()):
                os.replace(file, self.store.folder / file.name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        made, unhashed = finished_manifest(self.store.manifest, written, seconds), list(self.store.telling_files)
        complete_folder(self.store.folder, made, written.hashes, unhashed=unhashed)

    def _write_files(self, staging: Path, ids: Sequence[str]) -> WrittenFiles:
        damaged = Problems("parts of the store are damaged, and removed now")
        try:
            rows, kept = self._size()
            return write_store_files(
                staging, self._parts(damaged), ids,
                level=self.store.level, dtype=np.dtype(self.store.dtype), shape=(rows, self.store.spec.dim), kept=kept,
            )  # fmt: skip
        except FormatError:
            deque(self._parts(damaged), maxlen=0)  # looks at all of them
            raise
        finally:
            self._remove(damaged)

    def _size(self) -> tuple[int, int]:
        """The number of rows of all parts, and of shots that have some, as the parts say.

        Raises:
            FormatError: a part cannot be read.
            StoreError: all shots failed.
        """
        rows = kept = 0
        for job in range(self.plan.jobs):
            header = read_header(part_path(self.folder, job))
            rows, kept = rows + header.rows, kept + header.kept
        if not kept:
            headers = (read_header(part_path(self.folder, job)) for job in range(self.plan.jobs))
            raise all_failed(headers, where=self.store.folder)
        return rows, kept

    def _parts(self, damaged: Problems) -> Iterator[StorePart]:
        """All parts in order; those that are damaged are noted. After the first of them no more are given."""
        with ThreadPoolExecutor(1) as thread:  # which reads and hashes while the caller hashes and writes
            ahead = deque(thread.submit(self._read, job) for job in range(min(PARTS_AHEAD, self.plan.jobs)))
            for job in range(self.plan.jobs):
                if job + PARTS_AHEAD < self.plan.jobs:
                    ahead.append(thread.submit(self._read, job + PARTS_AHEAD))
                try:
                    part = ahead.popleft().result()
                except FormatError as error:
                    damaged.add(part_path(self.folder, job), f"{error.what} ({error.got})")
                    continue
                if not len(damaged):
                    yield part

    def _read(self, job: int) -> StorePart:
        """The part of a job.

        Raises:
            FormatError: it is damaged.
        """
        path = part_path(self.folder, job)
        part = read_part(path, dtype=np.dtype(self.store.dtype), dim=self.store.spec.dim)
        place = (part.header.first, part.header.shots)
        if part.header.plan != self.mark or place != self._place(job):
            raise FormatError("it is the part of another job or store", where=path, got=place)
        return part

    def _remove(self, damaged: Problems) -> None:
        """Remove damaged parts, so that their jobs are done again.

        Raises:
            StoreError: there are some.
        """
        for path, _ in damaged.items:
            Path(path).unlink(missing_ok=True)
        damaged.raise_if_any(
            StoreError,
            next_step="run the same command again: it does these jobs again and then puts the store together",
        )


def job_name(job: int) -> str:
    """The name of a job in files."""
    return f"{job:06d}"


def part_path(parts: Path, job: int) -> Path:
    """The file of a job's part in the folder of the parts."""
    return parts / f"{job_name(job)}.part"


def discard_parts(folder: Path) -> None:
    """Remove the parts of a store, first from sight: other processes see all of them or none."""
    with suppress(OSError):
        os.rename(folder / PARTS, folder / f".{PARTS}-old-{token_hex(4)}")
    for left in folder.glob(f".{PARTS}-old-*"):  # also what a kill left of them
        shutil.rmtree(left, ignore_errors=True)


def require_no_writers(folder: Path) -> None:
    """Check that no process fills a store which is to be made anew.

    Raises:
        StoreError: some do; names them.
    """
    living = list(living_owners(folder / PARTS))
    if living:
        raise StoreError(
            "another process is writing here",
            where=folder,
            got=some(living),
            next_step="end it or wait until it has ended, and run the same command again; or choose another -o",
        )
