"""Importing the features of others, compared with reading their ids.

A BigFile of random unit rows in the order of its shot table is imported by link, again by link when its bytes were
hashed before, and by copy. What a link costs is reading the rows once to check them, and once to hash them; both parts
are timed alone. The bar is the time to read ids: `BigFile`, the shot table, and finding each id in it.

    python benchmarks/borrow_speed.py --shots 200000 --dim 512
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avs.core.contents import hash_file
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, read_shot_table, write_shot_table
from avs.features.borrowed.bigfile import read_bigfile
from avs.features.borrowed.placing import place_rows
from avs.features.borrowed.rows import count_off_unit_length
from avs.pipeline.import_features import FeatureSources, import_features

RESULTS = Path(__file__).parent / "results" / "borrow_speed.json"
BLOCK = 10_000


def make_features(folder: Path, *, shots: int, dim: int) -> FeatureSources:
    """A BigFile of `shots` rows, and the shot table that it belongs to."""
    rng = np.random.default_rng(0)
    ids = [f"shot{1 + n // 100:05d}_{1 + n % 100}" for n in range(shots)]
    starts = np.arange(shots) % 100 * 2.0
    write_shot_table(ShotTable(ids, starts, starts + 2), folder / "shots.tsv")
    big = folder / "theirs"
    big.mkdir()
    with open(big / "feature.bin", "wb") as file:
        for first in range(0, shots, BLOCK):
            rows = rng.standard_normal((min(BLOCK, shots - first), dim), dtype=np.float32)
            file.write((rows / np.linalg.norm(rows, axis=1, keepdims=True)).tobytes())
    (big / "id.txt").write_text(" ".join(ids))
    (big / "shape.txt").write_text(f"{shots} {dim}")
    return FeatureSources(big, folder / "shots.tsv")


def seconds_of(work: Callable[[], object], repeats: int, before: Callable[[], object]) -> float:
    """Median wall time of `work`; `before` is called before each repeat, and is not timed."""
    times = []
    for _ in range(repeats):
        before()
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(folder: Path, *, shots: int, dim: int, repeats: int) -> dict[str, float]:
    """Median seconds of each part, with the files in the page cache."""
    sources, out = make_features(folder, shots=shots, dim=dim), folder / "store"
    seen = sources.folder / ".seen.json"

    def fresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        seen.unlink(missing_ok=True)

    def known() -> None:
        shutil.rmtree(out, ignore_errors=True)

    def read_ids() -> None:
        place_rows(read_bigfile(sources.folder), read_shot_table(sources.shots), level="shot", allow_missing=False)

    def run(*, copy: bool = False) -> Callable[[], object]:
        return lambda: import_features(sources, out, copy=copy, reporter=Reporter())

    return {
        "read_ids_s": seconds_of(read_ids, repeats, fresh),
        "link_s": seconds_of(run(), repeats, fresh),
        "link_hash_known_s": seconds_of(run(), repeats, known),
        "copy_s": seconds_of(run(copy=True), repeats, fresh),
        "check_rows_s": seconds_of(lambda: count_off_unit_length(read_bigfile(sources.folder)), repeats, fresh),
        "hash_s": seconds_of(lambda: hash_file(sources.folder / "feature.bin"), repeats, fresh),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shots", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), shots=args.shots, dim=args.dim, repeats=args.repeats)
    ratios = {f"{name.removesuffix('_s')}_over_read_ids": found[name] / found["read_ids_s"] for name in found}
    ratios.pop("read_ids_over_read_ids")
    facts = {
        "shots": args.shots,
        "dim": args.dim,
        "bytes": 4 * args.shots * args.dim,
        "repeats": args.repeats,
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load": os.getloadavg()[0],
    }
    rounded = {name: round(value, 3) for name, value in (found | ratios).items()}
    args.output.write_text(json.dumps(facts | rounded, indent=2) + "\n")
    print(args.output.read_text())


if __name__ == "__main__":
    main()
