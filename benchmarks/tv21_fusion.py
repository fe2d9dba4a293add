"""Learning from fewer and fewer of the real, stratified judgments of TRECVID 2021, with and without the strata.

    OMP_NUM_THREADS=1 python benchmarks/tv21_fusion.py --data ../shared/data/tv21

The judgments and the run RUCMM are real. One run cannot be fused, so five synthetic lists are made from it with
random numbers: two copies with noise on the scores, one without half of the shots, one mixed with shots of the pool,
and one with only such shots. Differences between methods on these lists mean nothing for other lists. The question is
whether fewer judgments change what is estimated and what is learned. All of stratum 1 and a share of strata 2 and 3
stay judged; the number of relevant shots is estimated, and LambdaMART learns in five folds of topics. Both are
compared with the result of all judgments. Every figure is a mean over topics and samples.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import lightgbm
import numpy as np

from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import RankedList, Run
from avs.fusion.cross_validation import values
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import Pools
from avs.fusion.methods.ltr import Ltr, LtrSettings, learn_to_rank, training_rows
from avs.fusion.methods.start import standardised_average
from avs.fusion.normalize import Scale
from avs.fusion.order import best_first
from avs.fusion.pool import pool_runs
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap import PreparedTopic
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run

RESULTS = Path(__file__).parent / "results" / "tv21_fusion.json"
RATES = (1.0, 0.3, 0.1)  # share of the judgments of strata 2 and 3 that stays
SETTINGS = LtrSettings(trees=(25,), learning_rate=0.05)


def variants(real: Run, qrels: Qrels) -> dict[str, Run]:
    """The real run and five synthetic ones."""
    made: dict[str, dict[str, RankedList]] = {n: {} for n in ("rucmm", "blur", "more-blur", "half", "mixed", "pool")}
    for number, (topic, ranked) in enumerate(real.lists.items()):
        rng = np.random.default_rng([21, number])
        shots, level = list(ranked.shots), -np.log(np.arange(1, len(ranked) + 1))
        pool = [str(s) for s in rng.permutation(sorted(set(qrels.topics[topic].shots) - set(shots)))[:1000]]
        far = rng.normal(level.min(), 1.0, len(pool))
        half = sorted(rng.permutation(len(shots))[: len(shots) // 2])
        lists = {
            "rucmm": (shots, level),
            "blur": (shots, level + rng.normal(0, 0.5, len(shots))),
            "more-blur": (shots, level + rng.normal(0, 2.0, len(shots))),
            "half": ([shots[i] for i in half], level[half] + rng.normal(0, 0.5, len(half))),
            "mixed": ([*shots, *pool], np.append(level + rng.normal(0, 1.0, len(shots)), far + 1.0)),
            "pool": (pool, far),
        }
        for name, (found, scores) in lists.items():
            made[name][topic] = RankedList.from_scores(topic, found, scores, limit=2000)
    return {name: Run(lists, name) for name, lists in made.items()}


def thinned(qrels: Qrels, rate: float, seed: int) -> Qrels:
    """The judgments with only the share `rate` of those of strata 2 and 3."""
    rng, kept = np.random.default_rng(seed), {}
    for topic, one in qrels.topics.items():
        judgments = one.judgments.copy()
        for stratum in (2, 3):
            judged = np.flatnonzero((one.strata == stratum) & (judgments >= 0))
            judgments[rng.permutation(judged)[round(rate * len(judged)) :]] = -1
        kept[topic] = TopicQrels(topic, one.shots, one.strata, judgments)
    return Qrels(kept)


def without_strata(qrels: Qrels) -> Qrels:
    """The judged shots only, in one stratum."""
    alone = {}
    for topic, one in qrels.topics.items():
        at = np.flatnonzero(one.judgments >= 0)
        alone[topic] = TopicQrels(topic, tuple(one.shots[i] for i in at), np.ones(len(at)), one.judgments[at])
    return Qrels(alone)


def rows_of(pools: Pools, qrels: Qrels) -> dict[str, float]:
    """The number of rows to learn from, and the share of relevant rows, over all topics."""
    labels = [
        training_rows(pool, qrels.topics[t], standardised_average(pool), rng=np.random.default_rng(0))[1]
        for t, pool in pools.items()
    ]
    joined = np.concatenate(labels)
    return {"rows_a_topic": round(len(joined) / len(pools), 1), "relevant_share": round(float(joined.mean()), 4)}


def out_of_fold(pools: Pools, qrels: Qrels, judged_by: Qrels) -> np.ndarray:
    """(T,) xinfAP of held-out topics by the original judgments."""
    found: dict[str, float] = {}
    for fold in topic_folds(tuple(pools), 5, seed=0):
        train = {topic: pools[topic] for topic in fold.train}
        fuser = learn_to_rank(train, xinfap_objective(qrels), qrels=qrels, folds=(), settings=SETTINGS)
        found |= values(fuser, {t: pools[t] for t in fold.test}, xinfap_objective(judged_by))
    return np.array([found[topic] for topic in pools])


def at_rate(pools: Pools, qrels: Qrels, rate: float, samples: int) -> dict[str, object]:
    """The estimates and the learned xinfAP from a share of the judgments, with and without strata."""
    drawn = [thinned(qrels, rate, seed) for seed in range(samples if rate < 1 else 1)]
    estimates = np.array([[PreparedTopic(one).estimated_relevant for one in q.topics.values()] for q in drawn])
    counts = np.array([[int((one.judgments > 0).sum()) for one in q.topics.values()] for q in drawn])
    told: dict[str, object] = {
        "relevant_estimated": round(float(estimates.mean()), 1),
        "relevant_estimated_of_samples": estimates.mean(axis=1).round(1).tolist(),
        "relevant_counted": round(float(counts.mean()), 1),
    }
    learned = {}
    for name, sets in (("with strata", drawn), ("without", [without_strata(q) for q in drawn])):
        learned[name] = np.array([out_of_fold(pools, q, qrels) for q in sets])
        rows = [rows_of(pools, q) for q in sets]
        told[name] = {
            **{key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]},
            "xinfAP": round(float(learned[name].mean()), 4),
            "of_samples": learned[name].mean(axis=1).round(4).tolist(),
        }
    test = randomization_test(np.stack([values.mean(axis=0) for values in learned.values()]))
    told["p_with_against_without"] = round(float(test.p_values[0, 1]), 4)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of avs.qrels.main.tv21 and RUCMM.run")
    parser.add_argument("--samples", type=int, default=3)
    args = parser.parse_args()
    start = time.perf_counter()
    qrels = read_qrels(args.data / "avs.qrels.main.tv21")
    reading = time.perf_counter() - start
    pools = pool_runs(variants(read_run(args.data / "RUCMM.run", topics=qrels.ids), qrels))
    objective = xinfap_objective(qrels)
    start = time.perf_counter()
    learn_to_rank(pools, objective, qrels=qrels, folds=(), settings=SETTINGS)
    fitting = time.perf_counter() - start
    alone = {
        name: [objective(t, p.shots)(best_first(Scale()(p)[None, :, i], 1000))[0] for t, p in pools.items()]
        for i, name in enumerate(next(iter(pools.values())).lists)
    }
    average = values(Ltr(next(iter(pools.values())).lists, 0, ""), pools, objective)
    result = {
        "what": "one real run and five lists drawn from it (synthetic), 20 topics, real stratified judgments",
        "lists": {name: round(float(np.mean(found)), 4) for name, found in alone.items()},
        "average": round(float(np.mean(list(average.values()))), 4),
        "judgments_that_stay": {f"{rate:.0%}": at_rate(pools, qrels, rate, args.samples) for rate in RATES},
        "speed": {
            "read_qrels_s": round(reading, 3),
            "judgments": sum(len(one) for one in qrels.topics.values()),
            f"rows_and_{SETTINGS.trees[-1]}_trees_s": round(fitting, 2),
        },
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "lightgbm": lightgbm.__version__},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
