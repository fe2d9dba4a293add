"""One query over a store: the pass of `search`, the pass of avs serve, and faiss's flat index of float16, in turns.

Each is a process of its own with two threads, asked again and again for the 1,000 best shots of other queries. faiss
is no dependency of avs: give a Python that has faiss-cpu. It holds its rows in memory; the passes read a memory-mapped
store. Used by serve_speed.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

QUERIES = """
import json, sys, time
import numpy as np
folder, repeats = sys.argv[1], int(sys.argv[2])
queries = np.random.default_rng(1).standard_normal((repeats + 3, 512), dtype=np.float32)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)
def each(ask):
    wall, cpu = [], []
    for number in range(len(queries)):
        begin, busy = time.perf_counter(), time.process_time()
        ask(queries[number : number + 1])
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - busy)
    print(json.dumps({"wall": wall[3:], "cpu": cpu[3:]}))
"""
FAISS = """
import faiss
faiss.omp_set_num_threads(2)
vectors = np.load(folder + "/vectors.npy", mmap_mode="r")
index = faiss.IndexScalarQuantizer(512, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
for first in range(0, len(vectors), 65536):
    index.add(np.asarray(vectors[first : first + 65536], dtype=np.float32))
each(lambda query: index.search(query, 1000))
"""
SEARCH = """
from avs.core.store import FeatureStore
from avs.ranking.blocks import BlockSource
from avs.ranking.cosine import CosineScorer
from avs.ranking.score import search
store = FeatureStore(folder)
source = BlockSource({"x": store})
def scorer(query):
    return CosineScorer("x", query, topics=["t"], store=store, feature="x", query_spec=store.spec)
"""
OURS = {"search": SEARCH + "each(lambda query: search([scorer(query)], ['t'], source, threads=2))\n"}


def pass_speed(folder: Path, repeats: int, faiss_python: Path | None) -> dict[str, Any]:
    """Seconds of one query, by what answers it; and ratios to faiss.

    Args:
        folder: of a store of 512 dimensions.
        faiss_python: a Python that has faiss-cpu; None: without it.
    """
    asked = {name: [sys.executable, "-c", QUERIES + code] for name, code in OURS.items()}
    if faiss_python is not None:
        asked["faiss flat fp16"] = [str(faiss_python), "-c", QUERIES + FAISS]
    times: dict[str, dict[str, list[float]]] = {name: {"wall": [], "cpu": []} for name in asked}
    for _ in range(3):  # in turns
        for name, words in asked.items():
            done = subprocess.run([*words, str(folder), str(repeats)], check=True, capture_output=True, text=True)
            for kind, some in json.loads(done.stdout).items():
                times[name][kind] += some
    found: dict[str, Any] = {name: {kind: _ms(some) for kind, some in of.items()} for name, of in times.items()}
    if faiss_python is not None:
        peer = found["faiss flat fp16"]["wall"]["p50_ms"]
        found["ratio to faiss"] = {name: round(found[name]["wall"]["p50_ms"] / peer, 2) for name in OURS}
    return found


def _ms(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    return {
        "p50_ms": round(float(np.percentile(values, 50)), 1), "p95_ms": round(float(np.percentile(values, 95)), 1),
        "least_ms": round(float(values.min()), 1),
    }  # fmt: skip
