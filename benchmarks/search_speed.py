"""A search of 30 topics over 1,425,454 x 512 float16 (best 1,000 shots), compared with the work that is unavoidable.

There are two lower bounds: reading the bytes of the store once from the page cache, and the float32 matrix product
alone over data of that shape in memory (in one call and in blocks; the faster counts). Each measurement is a new
process; they take turns, and the fastest of each counts, in wall and in CPU seconds. Other load disturbs CPU seconds
least. Memory is the growth of anonymous pages during the search; pages of the mapped store belong to the page cache.

    python benchmarks/search_speed.py --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avs.core.artifacts import Manifest, installed_versions, write_manifest
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore

SHOTS, DIM, TOPICS, BLOCK = 1_425_454, 512, 30, 65_536
SPEC = EmbedderSpec("random", "none", DIM, 224, (0.5,) * 3, (0.5,) * 3, "square", "bicubic", "gelu", "cls", True)
RESULTS = Path(__file__).parent / "results" / "search_speed.json"


def make_store(folder: Path, shots: int) -> None:
    """Write a store of random unit vectors: one block, whose columns are rotated further for each next block."""
    folder.mkdir(parents=True)
    base = np.random.default_rng(0).standard_normal((BLOCK, DIM), dtype=np.float32)
    base = (base / np.linalg.norm(base, axis=1, keepdims=True)).astype(np.float16)
    rows = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float16, shape=(shots, DIM))
    for number, first in enumerate(range(0, shots, BLOCK)):
        rows[first : first + BLOCK] = np.roll(base, number, axis=1)[: shots - first]
    rows.flush()
    (folder / "ids.txt").write_text("".join(f"shot{i // 100:05d}_{i % 100 + 1}\n" for i in range(shots)))
    (folder / "problems.tsv").write_text("")
    write_manifest(folder, Manifest("feature-store", {"level": "shot"}, {}, SPEC.to_json()))


def make_queries() -> np.ndarray:
    queries = np.random.default_rng(1).standard_normal((TOPICS, DIM), dtype=np.float32)
    unit: np.ndarray = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return unit


def timed(function: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def measure(what: str, folder: Path, threads: int) -> dict[str, float]:
    """One measurement, in this process."""
    import torch

    torch.set_num_threads(threads)
    store, queries = FeatureStore(folder), make_queries()
    if what == "read":
        words = torch.from_numpy(np.load(folder / "vectors.npy", mmap_mode="c")).view(torch.int64)
        return timed(words.sum)
    if what.startswith("product"):
        return timed(product(store, torch.from_numpy(queries), in_blocks=what == "product in blocks"))
    return search_once(store, queries, memory=what == "memory")


def product(store: FeatureStore, queries, *, in_blocks: bool) -> Callable[[], object]:  # type: ignore[no-untyped-def]
    """The matrix product alone, over the whole store in memory as float32."""
    import torch

    resident = torch.from_numpy(np.load(store.folder / "vectors.npy", mmap_mode="c")).float()
    size = 2048 if in_blocks else len(resident)
    out = torch.zeros(len(queries), size)

    def multiply() -> None:
        for first in range(0, len(resident), size):
            rows = resident[first : first + size]
            torch.mm(queries, rows.T, out=out[:, : len(rows)])

    return multiply


def search_once(store: FeatureStore, queries: np.ndarray, *, memory: bool) -> dict[str, float]:
    import torch

    from avs.ranking.blocks import BlockSource
    from avs.ranking.cosine import CosineScorer
    from avs.ranking.score import search

    torch.mm(torch.ones(64, 64), torch.ones(64, 64))  # the library's own start-up is no part of a search
    topics = [str(number) for number in range(len(queries))]

    def run() -> object:
        scorer = CosineScorer("x", queries, topics=topics, store=store, feature="x", query_spec=store.spec)
        return search([scorer], topics, BlockSource({"x": store}))

    if not memory:
        return timed(run)
    peak, done, before = [anonymous_mb()], threading.Event(), anonymous_mb()
    watcher = threading.Thread(
        target=lambda: [peak.append(anonymous_mb()) for _ in iter(lambda: done.wait(0.002), True)]
    )
    watcher.start()
    run()
    done.set()
    watcher.join()
    return {"before_mb": before, "peak_growth_mb": max(peak) - before}


def anonymous_mb() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def in_fresh_process(what: str, folder: Path, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, "--store", str(folder), "--threads", str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def fastest(folder: Path, what: list[str], *, threads: int, repeats: int) -> dict[str, dict[str, float]]:
    """The smallest wall and CPU seconds of each measurement; they take turns."""
    rounds = [{name: in_fresh_process(name, folder, threads) for name in what} for _ in range(repeats)]
    return {name: {unit: min(r[name][unit] for r in rounds) for unit in ("wall_s", "cpu_s")} for name in what}


def machine() -> dict[str, object]:
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        cpu = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.processor())
    return {"cpu": cpu, "cores": os.cpu_count(), "load_1min": os.getloadavg()[0], "versions": installed_versions()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.store, arguments.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        sizes = {shots: Path(folder, str(shots)) for shots in (100_000, 400_000, SHOTS)}
        for shots, store in sizes.items():
            make_store(store, shots)
        what = ["read", "product in one call", "product in blocks", "search"]
        found = fastest(sizes[SHOTS], what, threads=arguments.threads, repeats=arguments.repeats)
        memory = {shots: in_fresh_process("memory", store, arguments.threads) for shots, store in sizes.items()}
    ratios = {
        unit: found["search"][unit]
        / max(found["read"][unit], min(found["product in one call"][unit], found["product in blocks"][unit]))
        for unit in ("wall_s", "cpu_s")
    }
    result = {
        "shape": [TOPICS, SHOTS, DIM],
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "fastest": found,
        "search_over_larger_floor": ratios,
        "memory": memory,
        "machine": machine(),
    }
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
