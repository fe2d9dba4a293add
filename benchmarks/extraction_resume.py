"""What a store of the size of V3C2 costs beside its vectors: going on after a kill, and putting the parts together.

Both are measured on parts that are made up: 1.4 million shots of 9,760 videos, 512 dimensions in float16.

- Resuming: all jobs but the last are done. Timed is a fresh process from reading the shot table to the moment in which
  it asks for the first frame of that job.
- Putting together: a fresh process per time, in turn with copying the bytes of vectors.npy on the same disk; both are
  synced. Memory is what the process needs more than before, for stores of two sizes.

    python benchmarks/extraction_resume.py --folder /a/disk/with/8/GB
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from search_speed import machine

from avs.core.artifacts import Manifest
from avs.core.frames import ShotFrames
from avs.core.leases import Owner
from avs.core.shots import Shot, ShotTable, read_shot_table, write_shot_table
from avs.core.spec import EmbedderSpec
from avs.core.store_part import make_part
from avs.core.store_parts import SharedWriter, StoreParts, part_path
from avs.core.store_plan import WorkPlan
from avs.features.encoding import Target
from avs.features.extract import extract
from avs.features.preprocess import Geometry
from avs.features.units import Units

SHOTS, VIDEOS, DIM, BATCH_SIZE = 1_400_000, 9_760, 512, 32
SPEC = EmbedderSpec("made-up", "sha256:1", DIM, 8, (0.5,) * 3, (0.5,) * 3, "square", "bicubic", "gelu", "cls", True)
MANIFEST = Manifest("feature-store", {"level": "shot"}, {}, SPEC.to_json())
RESULTS = Path(__file__).parent / "results" / "extraction_resume.json"


class FirstFrameWantedError(Exception):
    """Resuming is over."""


class NoFrames:
    """A ViewSource that ends the program when it is asked for frames."""

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        raise FirstFrameWantedError

    def begins_anywhere(self, video: str) -> bool:
        return True


class NoEncoder:
    """An ImageEmbedder that is never asked."""

    class preprocessing:  # noqa: N801
        geometry = Geometry(8, 8, "bicubic")

    spec = SPEC


def make_table(path: Path, shots: int) -> ShotTable:
    """A table of videos of about 143 shots, as V3C2 has them."""
    ends = np.linspace(0, shots, max(1, VIDEOS * shots // SHOTS) + 1).astype(int)
    lengths = np.diff(ends).tolist()
    ids = [f"shot{video:05d}_{n}" for video, count in enumerate(lengths, start=1) for n in range(1, count + 1)]
    numbers = np.concatenate([np.arange(count) for count in lengths])
    table = ShotTable(ids, 3.0 * numbers, 3.0 * numbers + 3.0)
    write_shot_table(table, path)
    return table


def join(folder: Path, table: ShotTable, owner: Owner) -> StoreParts:
    """The parts of the store in a folder."""
    plan = WorkPlan(table.fingerprint, BATCH_SIZE, Units(table, BATCH_SIZE).first_of_job)
    return SharedWriter(folder, MANIFEST).join(plan, owner)


def make_parts(folder: Path, table: ShotTable) -> int:
    """Write the part of every job; their number."""
    rng = np.random.default_rng(0)
    with Owner() as owner:
        parts = join(folder, table, owner)
        for job, (first, end) in enumerate(zip(parts.plan.first[:-1], parts.plan.first[1:], strict=True)):
            rows = rng.normal(size=(end - first, DIM)).astype(np.float32)
            vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
            parts.write(job, make_part(int(first), np.ones(end - first), vectors, np.zeros(end - first), []))
    return parts.plan.jobs


def resume(folder: Path, table: Path) -> dict[str, float]:
    """Seconds until the first frame of the job that is left is wanted; those of reading the table are among them."""
    start, cpu = time.perf_counter(), time.process_time()
    shots = read_shot_table(table)
    read_s = time.perf_counter() - start
    try:
        extract(shots, NoFrames(), [Target(NoEncoder(), [SharedWriter(folder, MANIFEST)])], batch_size=BATCH_SIZE)  # type: ignore[arg-type]
    except FirstFrameWantedError:
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
        return {"seconds": seconds, "cpu_s": cpu_s, "of the seconds reading the table": read_s}
    raise AssertionError("no job was left")


def assemble(folder: Path, table: Path) -> dict[str, float]:
    """Seconds of putting the store together in a folder beside it, so that the parts stay; and memory for it."""
    shots = read_shot_table(table)
    with Owner() as owner:
        parts = join(folder, shots, owner)
        staging = folder / "together"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        before_mb = peak_mb(reset=True)
        start, cpu = time.perf_counter(), time.process_time()
        parts._write_files(staging, shots.ids)
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    return {"seconds": seconds, "cpu_s": cpu_s, "more_mb": peak_mb() - before_mb}


def peak_mb(*, reset: bool = False) -> float:
    """The most memory that this process had at once, since the last reset; Linux counts it."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def copy(folder: Path, table: Path) -> dict[str, float]:
    """Seconds of copying the matrix that assemble made, synced."""
    start, cpu = time.perf_counter(), time.process_time()
    with open(folder / "together/vectors.npy", "rb") as source, open(folder / "copy.npy", "wb") as target:
        shutil.copyfileobj(source, target, 2**20)
        target.flush()
        os.fsync(target.fileno())
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    (folder / "copy.npy").unlink()
    return {"seconds": seconds, "cpu_s": cpu_s}


TASKS = {"resume": resume, "assemble": assemble, "copy": copy}


def in_a_process(task: str, folder: Path, table: Path) -> dict[str, float]:
    """What a task says that runs in a process of its own."""
    words = [sys.executable, __file__, "--task", task, "--folder", str(folder), "--table", str(table)]
    answer: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return answer


def measure(folder: Path, shots: int, repeats: int) -> dict[str, object]:
    """The times of a store of so many shots."""
    table, store = folder / f"{shots}.tsv", folder / f"store{shots}"
    jobs = make_parts(store, make_table(table, shots))
    turns = [(in_a_process("assemble", store, table), in_a_process("copy", store, table)) for _ in range(repeats)]
    ratios = {kind: [together[kind] / copied[kind] for together, copied in turns] for kind in ("seconds", "cpu_s")}
    size = (store / "together/vectors.npy").stat().st_size
    last = part_path(store / "parts", jobs - 1)
    last.unlink()
    resumed = [in_a_process("resume", store, table) for _ in range(repeats)]
    shutil.rmtree(store)
    seconds = statistics.median(each["seconds"] for each in resumed)
    return {
        "shots": shots,
        "parts": jobs,
        "bytes": size,
        "resume_s": rounded(resumed),
        "resume_s_median": round(seconds, 2),
        "resume_s_allowed": round(2 + shots / 100_000, 2),
        "assemble": rounded([together for together, _ in turns]),
        "copy": rounded([copied for _, copied in turns]),
        "ratio_to_copy": {kind: round(statistics.median(of_kind), 2) for kind, of_kind in ratios.items()},
        "memory_mb_median": round(statistics.median(together["more_mb"] for together, _ in turns), 1),
    }


def rounded(answers: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: round(value, 3) for name, value in answer.items()} for answer in answers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=SHOTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: that of temporary files")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.task:
        print(json.dumps(TASKS[options.task](options.folder, options.table)))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sizes = [options.shots // 10, options.shots]
        measured = {f"{shots} shots": measure(Path(folder), shots, options.repeats) for shots in sizes}
    result = {
        "dim": DIM, "dtype": "float16", "batch_size": BATCH_SIZE, "videos": VIDEOS, **measured,
        "load_before": round(load, 2), "machine": machine(),
    }  # fmt: skip
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
