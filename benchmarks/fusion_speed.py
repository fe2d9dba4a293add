"""The time of fusion, coordinate ascent and learning to rank at the size of TRECVID, each with a lower bound.

    OMP_NUM_THREADS=1 python benchmarks/fusion_speed.py

The lists are random and have the sizes of RUCMM's submissions: 43 lists of 2,000 shots, 42 of one family and one other.
The topics have as many relevant shots, strata and judgments as TRECVID 2021. The times do not depend on the content of
the lists, except for the number of passes of coordinate ascent; therefore the seconds per pass are reported too. The
lower bounds ("floors") are timed in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np

from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import MAX_RESULTS, RankedList, Run
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import fuse
from avs.fusion.methods import unlearned
from avs.fusion.methods.coordinate_ascent import STEPS, climb
from avs.fusion.methods.ltr import LtrSettings, TrainingRows, fit_booster, learn_to_rank
from avs.fusion.methods.ltr_features import feature_names
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool, pool_runs
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.run_file import read_run
from avs.trecvid.trec import write_trec

RESULTS = Path(__file__).parent / "results" / "fusion_speed.json"
LISTS, DEPTH, UNIVERSE = 43, 2000, 60_000
STRATA = ((1, 791, 1.0), (2, 986, 1.0), (3, 4444, 0.257))  # means of TRECVID 2021: stratum, pooled, share judged
RELEVANT = 1283
METHODS = ("average", "combmnz", "combmax", "rrf", "borda")


def topic_scores(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(U,) true relevance of the shots of a topic, and (LISTS, U) their scores in the lists."""
    truth = rng.standard_normal(UNIVERSE)
    family = truth + 0.5 * rng.standard_normal(UNIVERSE)
    scores = np.stack([family + 0.35 * rng.standard_normal(UNIVERSE) for _ in range(LISTS)])
    scores[-1] = truth + 0.6 * rng.standard_normal(UNIVERSE)
    return truth, scores


def shot_names() -> tuple[str, ...]:
    return tuple(f"shot{i // 40 + 1:05d}_{i % 40 + 1}" for i in range(UNIVERSE))


def judgments(topic: str, names: tuple[str, ...], truth: np.ndarray, rng: np.random.Generator) -> TopicQrels:
    """Judgments pooled from other systems; strata, judged shares and relevant shots are as in TRECVID 2021."""
    seen = np.argsort(-(truth + 0.5 * rng.standard_normal(UNIVERSE)))[: sum(pooled for _, pooled, _ in STRATA)]
    relevant = np.zeros(UNIVERSE, dtype=np.int64)
    relevant[np.argsort(-(truth + 0.3 * rng.standard_normal(UNIVERSE)))[:RELEVANT]] = 1
    strata = np.repeat([s for s, _, _ in STRATA], [pooled for _, pooled, _ in STRATA])
    share = np.repeat([share for _, _, share in STRATA], [pooled for _, pooled, _ in STRATA])
    judged = rng.random(len(seen)) < share
    return TopicQrels(topic, tuple(names[i] for i in seen), strata, np.where(judged, relevant[seen], -1))


def generate(topics: int) -> tuple[dict[str, Run], Qrels]:
    names = shot_names()
    lists: list[dict[str, RankedList]] = [{} for _ in range(LISTS)]
    judged = {}
    for number in range(topics):
        rng, topic = np.random.default_rng([3, number]), str(501 + number)
        truth, scores = topic_scores(rng)
        for found, row in zip(lists, scores, strict=True):
            top = np.argsort(-row)[:DEPTH]
            found[topic] = RankedList.from_scores(topic, [names[i] for i in top], row[top].round(5), limit=DEPTH)
        judged[topic] = judgments(topic, names, truth, rng)
    return {f"model{i:02d}": Run(found, f"model{i:02d}") for i, found in enumerate(lists)}, Qrels(judged)


def seconds(what: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    times = []
    for _ in range(repeats):
        start = clock()
        what()
        times.append(round(clock() - start, 4))
    return times


def fusing(runs: dict[str, Run], repeats: int) -> dict[str, object]:
    """Pool and fuse 30 topics. Floors: a dictionary of the ids of every line, and one pass over the scores."""
    topics = list(next(iter(runs.values())).topics)[:30]
    runs = {name: Run({t: run.lists[t] for t in topics}, name) for name, run in runs.items()}
    pools = pool_runs(runs)
    lines = LISTS * DEPTH * len(topics)

    def unions() -> None:
        for topic in topics:
            sorted(set().union(*(run.lists[topic].shots for run in runs.values())))

    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.trec" for name in runs]
        for path, run in zip(paths, runs.values(), strict=True):
            write_trec(run, path)
        size = sum(path.stat().st_size for path in paths)
        reading = seconds(lambda: [read_run(path) for path in paths], repeats)
        bare = seconds(lambda: [path.read_text().split() for path in paths], repeats)
    pooling, floor = seconds(lambda: pool_runs(runs), repeats), seconds(unions, repeats)
    methods = {
        name: seconds(lambda n=name: fuse(unlearned(n, Scale()), pools, tag="fused"), repeats)  # type: ignore[misc]
        for name in METHODS
    }
    dearest = max(min(times) for times in methods.values())
    processor = seconds(
        lambda: fuse(unlearned("combmnz", Scale()), pool_runs(runs), tag="fused"), repeats, time.process_time
    )
    return {
        "what": f"{LISTS} lists x {len(topics)} topics x {DEPTH} shots, {lines:,} lines",
        "candidates_per_topic": round(float(np.mean([len(pool) for pool in pools.values()]))),
        "bar_s": 2.0,
        "pool_s": pooling,
        "pool_over_set_union_and_sort": round(min(pooling) / min(floor), 2),
        "method_s": methods,
        "pool_and_dearest_method_s": round(min(pooling) + dearest, 3),
        "pool_and_combmnz_processor_s": processor,
        "read_43_files_s": reading,
        "files_mb": round(size / 1e6, 1),
        "read_over_split_into_words": round(min(reading) / min(bare), 2),
    }


def ascent(pools: dict[str, CandidatePool], qrels: Qrels, repeats: int) -> dict[str, object]:
    """One climb over all weights. Floors for as many tried orders: only the sums, and the sums with a plain sort of the
    best 1,000."""
    objective = xinfap_objective(qrels)
    climbs = []
    times = seconds(lambda: climbs.append(climb(pools, objective, scale=Scale(), restart=0, seed=0)), repeats)
    tried, columns = len(STEPS) // 2 + 1, climbs[0].passes * LISTS
    sizes = [len(pool) for pool in pools.values()]
    rng = np.random.default_rng(0)
    rows = {size: rng.random((tried, size)) for size in set(sizes)}
    add = min(seconds(lambda: [rows[size] + rows[size][0] for size in sizes], 5))

    def sort() -> None:
        for size in sizes:
            np.sort(np.partition(rows[size], MAX_RESULTS, axis=1)[:, :MAX_RESULTS], axis=1)

    floor = add + min(seconds(sort, 5))
    return {
        "what": f"one climb over {LISTS} weights, {len(pools)} topics",
        "candidates_per_topic": round(float(np.mean(sizes))),
        "bar_s": 60.0,
        "climb_s": times,
        "passes": climbs[0].passes,
        "seconds_a_pass": round(min(times) / climbs[0].passes, 2),
        "sums_alone_s": round(add * columns, 2),
        "sums_partition_and_sort_s": round(floor * columns, 2),
        "over_that_floor": round(min(times) / (floor * columns), 2),
    }


def boosting(repeats: int) -> dict[str, object]:
    """LightGBM with the default settings. Floors: only binning, and trees of squared error, which need no pairs."""
    settings, width = LtrSettings(), len(feature_names([""] * LISTS))
    rng = np.random.default_rng(0)
    rows = []
    for number in range(70):
        seen = rng.random((5000, width)).astype(np.float32)
        labels = (seen[:, :43].mean(axis=1) + 0.05 * rng.standard_normal(5000) > 0.55).astype(np.int64)
        rows.append(TrainingRows(str(number), seen, labels, seen[:, 0].astype(np.float64)))
    parameters = settings.parameters([f"model{i:02d}" for i in range(LISTS)], seed=0, threads=2)
    trees = settings.trees[-1]
    before = time.process_time()
    fit = seconds(lambda: fit_booster(rows, parameters, trees), repeats)
    processor = time.process_time() - before
    features, labels = np.concatenate([r.features for r in rows]), np.concatenate([r.labels for r in rows])
    plain = {k: v for k, v in parameters.items() if not k.startswith(("lambdarank", "bagging", "label"))}
    plain |= {"objective": "regression"}
    bins = seconds(lambda: lightgbm.Dataset(features, labels, params=plain).construct(), repeats)
    bare = seconds(lambda: lightgbm.train(plain, lightgbm.Dataset(features, labels), num_boost_round=trees), repeats)
    return {
        "what": f"LambdaMART, {trees} trees, 70 topics x 5,000 rows x {width} features, 2 threads",
        "bar_s": 60.0,
        "fit_s": fit,
        "fit_processor_s": round(processor / repeats, 1),
        "relevant_share": round(float(labels.mean()), 3),
        "binning_s": bins,
        "trees_of_squared_error_s": bare,
        "over_trees_of_squared_error": round(min(fit) / min(bare), 2),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
    }


def learning(pools: dict[str, CandidatePool], qrels: Qrels) -> dict[str, object]:
    """All of learn_to_rank on the random lists: features, rows, five folds, the number of trees, and the last fit."""
    objective, folds = xinfap_objective(qrels), topic_folds(tuple(pools), 5, seed=0)
    whole = seconds(lambda: learn_to_rank(pools, objective, qrels=qrels, folds=folds, threads=2), 1)
    return {"what": f"learn_to_rank, {LISTS} lists, {len(pools)} topics, 5 folds, 2 threads", "whole_s": whole}


def machine() -> dict[str, object]:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": f"{len(names)} x {names[0]}" if names else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "lightgbm": lightgbm.__version__,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "not set"),
        "load_at_the_end": [round(load, 2) for load in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="fusing, coordinate_ascent, ltr, learn_to_rank; all by default")
    parser.add_argument("--topics", type=int, default=70)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    runs, qrels = generate(args.topics)
    pools = pool_runs(runs)
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "fusing": lambda: fusing(runs, args.repeats),
        "coordinate_ascent": lambda: ascent(pools, qrels, args.repeats),
        "ltr": lambda: boosting(args.repeats),
        "learn_to_rank": lambda: learning(pools, qrels),
    }
    for name in args.parts or parts:
        measured = {name: parts[name]() | {"machine": machine()}}
        result = (json.loads(RESULTS.read_text()) if RESULTS.exists() else {}) | measured
        RESULTS.write_text(json.dumps(result, indent=2) + "\n")
        print(json.dumps(result[name], indent=2), flush=True)


if __name__ == "__main__":
    main()
