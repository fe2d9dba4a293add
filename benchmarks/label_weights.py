"""Learning from judgments that are sampled by strata, with three ways to weight them.

    OMP_NUM_THREADS=1 python benchmarks/label_weights.py --work FOLDER

FOLDER has mini collections s0, s1 ... with lists/*.trec and test/qrels. With five folds of topics, LambdaMART learns
from full judgments of the training topics, and from samples of them (a share of the deepest stratum) with three
treatments: a sampled judgment counts for all the shots it represents, has LightGBM's weight of a row, or counts once.
Full judgments of the held-out topics score the results. All trees are kept, because choosing their number would hide
what was learned. The same is done on generated topics for which strata matter (tests/sampled_judgments.py).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np

from avs.core.qrels import Qrels, TopicQrels
from avs.fusion.cross_validation import values
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import Pools
from avs.fusion.methods.ltr import Ltr, LtrSettings, learn_to_rank
from avs.fusion.methods.ltr_features import features
from avs.fusion.methods.start import standardised_average
from avs.fusion.pool import pool_runs
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import sampled_judgments as generated  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "label_weights.json"
SETTINGS = {
    "mini": LtrSettings(trees=(100,)),
    "generated": LtrSettings(trees=(25,), learning_rate=0.2, rows_in_leaf=20, feature_share=1.0),
}
Learn = Callable[[Pools, Qrels, LtrSettings], Ltr]


def copies(pools: Pools, qrels: Qrels, settings: LtrSettings) -> Ltr:
    """The way of avs: a judged shot is repeated for each shot that it represents."""
    return learn_to_rank(pools, xinfap_objective(qrels), qrels=qrels, folds=(), settings=settings)


def ignored(pools: Pools, qrels: Qrels, settings: LtrSettings) -> Ltr:
    return copies(pools, generated.without_strata(qrels), settings)


def row_weights(pools: Pools, qrels: Qrels, settings: LtrSettings) -> Ltr:
    """Each judged shot once, with LightGBM's row weight."""
    lists, parts = next(iter(pools.values())).lists, []
    for topic, pool in pools.items():
        one, at = qrels.topics[topic], {shot: i for i, shot in enumerate(pool.shots)}
        kept = [i for i in np.flatnonzero(one.judgments >= 0) if one.shots[i] in at]
        pooled, judged = np.bincount(one.strata), np.bincount(one.strata[one.judgments >= 0])
        rows = [at[one.shots[i]] for i in kept]
        weight = pooled[one.strata[kept]] / judged[one.strata[kept]]
        parts.append((features(pool)[rows], one.judgments[kept] > 0, standardised_average(pool)[rows], weight))
    seen, labels, start, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    parameters = settings.parameters(lists, seed=0, threads=1)
    group = [len(part[1]) for part in parts]
    data = lightgbm.Dataset(seen, labels, init_score=start, weight=weights, group=group, params=dict(parameters))
    booster = lightgbm.train(dict(parameters), data, num_boost_round=settings.trees[-1])
    return Ltr(lists, settings.trees[-1], booster.model_to_string())


TREATMENTS: dict[str, Learn] = {"copies": copies, "row weights": row_weights, "ignored": ignored}


def sample(full: Qrels, rate: float, seed: int) -> Qrels:
    """The judgments with only the share `rate` of the last stratum, but at least one shot."""
    rng, sampled = np.random.default_rng(seed), {}
    for topic, one in full.topics.items():
        deep = np.flatnonzero(one.strata == one.strata.max())
        judgments = one.judgments.copy()
        judgments[rng.permutation(deep)[max(round(rate * len(deep)), 1) :]] = -1
        sampled[topic] = TopicQrels(topic, one.shots, one.strata, judgments)
    return Qrels(sampled)


def mini(folder: Path) -> tuple[Pools, Qrels]:
    """The lists, and full judgments in the strata of the sampled file, without the shots outside the pool."""
    qrels = folder / "test" / "qrels"
    pooled, full = read_qrels(qrels / "avs.qrels.mini"), read_qrels(qrels / "avs.qrels.mini.full")
    judged = {}
    for topic, one in pooled.topics.items():
        known = dict(zip(full.topics[topic].shots, full.topics[topic].judgments.tolist(), strict=True))
        judged[topic] = TopicQrels(topic, one.shots, one.strata, np.array([known[shot] for shot in one.shots]))
    return pool_runs({path.stem: read_run(path) for path in sorted((folder / "lists").glob("*.trec"))}), Qrels(judged)


def compare(pools: Pools, full: Qrels, *, rate: float, samples: int, settings: LtrSettings) -> dict[str, np.ndarray]:
    """Treatment -> (samples, topics) xinfAP of held-out topics by full judgments."""
    objective = xinfap_objective(full)
    folds = topic_folds(tuple(pools), 5, seed=0)

    def out_of_fold(learn: Learn, qrels: Qrels) -> list[float]:
        found: dict[str, float] = {}
        for fold in folds:
            fuser = learn({topic: pools[topic] for topic in fold.train}, qrels, settings)
            found |= values(fuser, {topic: pools[topic] for topic in fold.test}, objective)
        return [found[topic] for topic in pools]

    lists = next(iter(pools.values())).lists
    drawn = [sample(full, rate, seed) for seed in range(samples)]
    result = {
        "average": np.array([list(values(Ltr(lists, 0, ""), pools, objective).values())]),
        "full": np.array([out_of_fold(copies, full)]),
    }
    for name, learn in TREATMENTS.items():
        result[name] = np.array([out_of_fold(learn, qrels) for qrels in drawn])
    return result


def told(found: dict[str, np.ndarray]) -> dict[str, object]:
    """Means over topics and samples, means per sample, and p-values of `copies` against the others."""
    means = np.stack([found[name].mean(axis=0) for name in found])
    p_values = randomization_test(means).p_values[list(found).index("copies")]
    return {
        name: {
            "xinfAP": round(float(values.mean()), 4),
            "of_samples": values.mean(axis=1).round(4).tolist(),
            "p_of_copies_against": round(float(p), 4),
        }
        for (name, values), p in zip(found.items(), p_values, strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=4)
    args = parser.parse_args()
    result: dict[str, object] = {"what": "xinfAP of held-out topics by full judgments"}
    pools, full = generated.generate([str(i) for i in range(30)], seed=0)
    for rate in (0.05, 0.1):
        how = {"rate": rate, "samples": args.samples}
        result[f"generated, {rate:.0%} of the deep stratum"] = told(
            compare(pools, full, settings=SETTINGS["generated"], **how)
        )
    for folder in sorted(args.work.glob("s[0-9]*")):
        pools, full = mini(folder)
        for rate in (0.05, 0.25):
            found = compare(pools, full, rate=rate, samples=args.samples, settings=SETTINGS["mini"])
            result[f"mini {folder.name}, {rate:.0%} of the deep stratum"] = told(found)
    result["versions"] = {"python": platform.python_version(), "lightgbm": lightgbm.__version__}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
