"""42 LAFF models x 30 topics in one pass over stores of 7 features, compared with the models' matrix products alone.

The features have the dimensions of TRECVID 2023 (6,912 together); a model has 8 heads of 512, or 57 MFLOP per shot. The
lower bound multiplies rows that are in memory, in the dtype of the pass, with the weights of all models: torch.mm into
one buffer, block by block, with the fastest block size. Lower bound and pass are timed in turn in one process, and the
fastest of each counts. Two more measurements run in their own processes: how similar the lists of bfloat16 and float32
are, and how anonymous memory grows with the number of shots.

    python benchmarks/many_models_speed.py
    python benchmarks/many_models_speed.py --models 6 --shots 4096    # less memory, fewer minutes
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from search_speed import anonymous_mb, machine
from torch import Tensor

from avs.core.ranking import RankedList
from avs.models.architectures.laff import LaffConfig
from avs.models.laff import LaffModel
from avs.models.scorer import ModelScorer, PackedModel
from avs.ranking.blocks import BlockSource
from avs.ranking.score import search

VIDEO = {"v1": 2048, "v2": 2048, "v3": 1024, "v4": 512, "v5": 256, "v6": 256, "v7": 768}
TOPICS = [str(number) for number in range(701, 731)]
FLOOR_BLOCKS = (256, 512, 1024, 2048)
MEMORY_SHOTS = (2_048, 8_192, 32_768)
RESULTS = Path(__file__).parent / "results" / "many_models_speed.json"


@dataclass
class MappedStore:
    """A feature in a memory-mapped file."""

    ids: tuple[str, ...]
    vectors: np.ndarray
    offsets: None = None


def make_stores(folder: Path, shots: int) -> dict[str, MappedStore]:
    """Write unit float16 vectors around 50 centres to memory-mapped files; the features of a shot share a centre."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, ids = np.random.default_rng(0), tuple(f"shot{i // 100:05d}_{i % 100 + 1}" for i in range(shots))
    stores, centre = {}, rng.integers(50, size=shots)
    for name, dim in VIDEO.items():
        centres = rng.standard_normal((50, dim), dtype=np.float32)
        rows = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=np.float16, shape=(shots, dim))
        for first in range(0, shots, 4096):
            block = centres[centre[first : first + 4096]]
            block += rng.standard_normal(block.shape, dtype=np.float32)
            rows[first : first + 4096] = block / np.linalg.norm(block, axis=1, keepdims=True)
        rows.flush()
        stores[name] = MappedStore(ids, np.load(folder / f"{name}.npy", mmap_mode="r"))
    return stores


def make_scorers(models: int, dtype: torch.dtype) -> list[ModelScorer]:
    """Models with different weights, each with random unit queries in its 8 spaces."""
    scorers = []
    for number in range(models):
        torch.manual_seed(number)
        model = LaffModel(LaffConfig(video=VIDEO, text={"t": 8}))
        queries = torch.nn.functional.normalize(torch.randn(len(TOPICS), 8, 512), dim=-1).flatten(1)
        scorers.append(ModelScorer(f"laff{number}", PackedModel(model, dtype=dtype), queries))
    return scorers


def one_pass(scorers: list[ModelScorer], stores: dict[str, MappedStore], dtype: str) -> dict[str, list[RankedList]]:
    return search(scorers, TOPICS, BlockSource(stores, dtype=dtype))


def plain_weights(models: int, dtype: torch.dtype) -> list[list[Tensor]]:
    """(D, W) weights of each model and feature in the layout of torch; the models use the layout of oneDNN."""
    return [[torch.randn(8 * 512, dim, dtype=dtype).T for dim in VIDEO.values()] for _ in range(models)]


def products(weights: list[list[Tensor]], rows: list[Tensor], block: int) -> Callable[[], None]:
    """Compute the matrix products of all models with rows in memory, and nothing else."""
    out = torch.empty(block, weights[0][0].shape[1], dtype=rows[0].dtype)

    @torch.inference_mode()
    def multiply() -> None:
        for first in range(0, len(rows[0]), block):
            for model in weights:
                for feature, weight in zip(rows, model, strict=True):
                    part = feature[first : first + block]
                    torch.mm(part, weight, out=out[: len(part)])

    return multiply


def timed(function: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def fastest(what: dict[str, Callable[[], object]], repeats: int) -> dict[str, dict[str, float]]:
    """The smallest wall and CPU seconds of each, timed in turn."""
    rounds = [{name: timed(function) for name, function in what.items()} for _ in range(repeats)]
    return {name: {unit: min(r[name][unit] for r in rounds) for unit in ("wall_s", "cpu_s")} for name in what}


def speed(folder: Path, dtype: str, *, models: int, shots: int, repeats: int) -> dict[str, object]:
    """Seconds of the pass and of its lower bound."""
    torch_dtype: torch.dtype = getattr(torch, dtype)
    stores, scorers = make_stores(folder, shots), make_scorers(models, torch_dtype)
    weights = plain_weights(models, torch_dtype)
    rows = [torch.from_numpy(np.array(store.vectors)).to(torch_dtype) for store in stores.values()]
    few = rows[0][:1024], [feature[:1024] for feature in rows]  # to choose the floor's block by
    tried = {block: timed(products(weights[:3], few[1], block))["cpu_s"] for block in FLOOR_BLOCKS for _ in range(2)}
    block = min(tried, key=tried.__getitem__)
    found = fastest(
        {
            "products": products(weights, rows, block),
            "one pass": lambda: one_pass(scorers, stores, dtype),
        },
        repeats,
    )
    ratio = {unit: found["one pass"][unit] / found["products"][unit] for unit in ("wall_s", "cpu_s")}
    us = {name: 1e6 * seconds["wall_s"] / shots / models for name, seconds in found.items()}
    return {"fastest": found, "floor_block": block, "pass_over_products": ratio, "us_a_shot_and_model": us}


def agreement(folder: Path, *, shots: int, models: int) -> dict[str, float]:
    """Agreement of bfloat16 with float32: overlap of the lists, and Kendall's tau over the best 100 of float32."""
    from scipy.stats import kendalltau

    stores = make_stores(folder, shots)
    lists = {
        dtype: one_pass(make_scorers(models, getattr(torch, dtype)), stores, dtype) for dtype in ("float32", "bfloat16")
    }
    overlap: dict[int, list[float]] = {10: [], 100: [], 1000: []}
    taus, differences = [], []
    for name, exact in lists["float32"].items():
        for one, other in zip(exact, lists["bfloat16"][name], strict=True):
            for k, shares in overlap.items():
                shares.append(len({*one.shots[:k]} & {*other.shots[:k]}) / min(k, len(one)))
            scores = dict(zip(other.shots, other.scores, strict=True))
            best = [(shot, score) for shot, score in zip(one.shots, one.scores, strict=True) if shot in scores][:100]
            taus.append(kendalltau([score for _, score in best], [scores[shot] for shot, _ in best]).statistic)
            differences.append(max(abs(score - scores[shot]) for shot, score in best))
    return {
        "shots": shots,
        "models": models,
        **{f"overlap@{k}": float(np.mean(shares)) for k, shares in overlap.items()},
        "kendall_tau_of_the_best_100": float(np.mean(taus)),
        "largest_difference_of_a_score": float(max(differences)),
        "standard_deviation_of_scores_in_a_list": float(np.mean([np.std(one.scores) for one in exact])),
    }


def memory(folder: Path, shots: int) -> dict[str, float]:
    """Growth of anonymous memory while two models search."""
    stores, scorers = make_stores(folder, shots), make_scorers(2, torch.bfloat16)
    small = {name: MappedStore(store.ids[:2048], store.vectors[:2048]) for name, store in stores.items()}
    one_pass(scorers, small, "bfloat16")  # the libraries' own start-up is no part of it
    peak, done, before = [anonymous_mb()], threading.Event(), anonymous_mb()
    watcher = threading.Thread(
        target=lambda: [peak.append(anonymous_mb()) for _ in iter(lambda: done.wait(0.01), True)]
    )
    watcher.start()
    one_pass(scorers, stores, "bfloat16")
    done.set()
    watcher.join()
    return {"before_mb": before, "peak_growth_mb": max(peak) - before}


def measure(what: str, folder: Path, arguments: argparse.Namespace) -> object:
    """One measurement, in this process."""
    torch.set_num_threads(arguments.threads)
    if what == "agreement":
        return agreement(folder, shots=8 * 2048, models=2)
    if what.startswith("memory"):
        return memory(folder, int(what.split()[1]))
    dtype = what.split()[1]
    return speed(folder, dtype, models=arguments.models, shots=arguments.shots, repeats=arguments.repeats)


def in_fresh_process(what: str, arguments: argparse.Namespace) -> object:
    options = [f"--{name}={getattr(arguments, name)}" for name in ("models", "shots", "repeats", "threads")]
    command = [sys.executable, __file__, *options, "--measure", what]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=42)
    parser.add_argument("--shots", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", action="append", choices=["float32", "bfloat16"])
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(arguments.measure, Path(folder), arguments)))
        return
    result = {"video": VIDEO, "topics": len(TOPICS)}
    result |= {name: getattr(arguments, name) for name in ("models", "shots", "repeats", "threads")}
    for dtype in arguments.dtype or ("bfloat16", "float32"):
        result[dtype] = in_fresh_process(f"speed {dtype}", arguments)
    result["bfloat16_against_float32"] = in_fresh_process("agreement", arguments)
    result["memory"] = {shots: in_fresh_process(f"memory {shots}", arguments) for shots in MEMORY_SHOTS}
    result["machine"] = machine()
    arguments.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
