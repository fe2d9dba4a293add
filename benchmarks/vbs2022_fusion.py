"""Fusion of 16 real teams: their lists for 8 AVS topics of the Video Browser Showdown 2022, leaving one topic out.

    OMP_NUM_THREADS=1 python benchmarks/vbs2022_fusion.py --data ../shared/data/vbs2022

The figures have limits. People searched for five minutes and submitted shots that they believed to be relevant.
Therefore the lists are short (1 to 1,000 shots) and mostly right, and only shots that some team submitted were judged,
in one stratum. The scores in the files are 9999 - rank, so that every normalization is one of ranks. Not every team
answered every topic. With 8 topics, no two-sided p-value is below 2/256, and there are 7 topics to learn from.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from pathlib import Path

import lightgbm
import numpy as np

from avs.core.objective import Objective
from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.fusion.cross_validation import out_of_fold, value
from avs.fusion.folds import leave_one_out
from avs.fusion.fuser import Pools
from avs.fusion.methods import METHODS, Learning, learner, unlearned
from avs.fusion.normalize import NORMALIZATIONS, Scale
from avs.fusion.pool import pool_runs
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run

RESULTS = Path(__file__).parent / "results" / "vbs2022_fusion.json"


def teams(runs: Mapping[str, Run], qrels: Qrels, objective: Objective) -> dict[str, np.ndarray]:
    """Team -> (topics,) xinfAP; 0 for a topic that the team did not answer."""
    found = {}
    for name, run in runs.items():
        lists = [run.lists.get(topic) for topic in qrels.ids]
        found[name] = np.array(
            [value(one.topic, one.shots, one.scores, objective) if one is not None else 0.0 for one in lists]
        )
    return found


def chosen_on_the_others(single: Mapping[str, np.ndarray]) -> np.ndarray:
    """(topics,) xinfAP of the team that is best on all other topics, which could have been known."""
    values = np.stack(list(single.values()))
    rest = values.sum(axis=1, keepdims=True) - values
    return values[rest.argmax(axis=0), np.arange(values.shape[1])]


def combinations(pools: Pools, objective: Objective) -> dict[str, np.ndarray]:
    """The methods without learning, with every normalization that changes their results."""
    scales = {f"{n}, {m}": Scale(n, m) for n in NORMALIZATIONS for m in ("minimum", "absent")}
    fusers = {f"average ({name})": unlearned("average", scale) for name, scale in scales.items()}
    fusers |= {f"combmnz ({n})": unlearned("combmnz", Scale(n)) for n in NORMALIZATIONS}
    fusers |= {f"combmax ({n})": unlearned("combmax", Scale(n)) for n in NORMALIZATIONS}
    fusers |= {method: unlearned(method, Scale()) for method in ("rrf", "borda")}
    return {
        name: np.array([value(t, pool.shots, fuser.fuse(pool), objective) for t, pool in pools.items()])
        for name, fuser in fusers.items()
    }


def learned(pools: Pools, qrels: Qrels, objective: Objective) -> dict[str, np.ndarray]:
    """Coordinate ascent and learning to rank; each topic is ranked by what was learned from the other seven."""
    folds = leave_one_out({topic: topic for topic in pools})
    learning = Learning(objective, qrels, {})
    found = {}
    for method in (name for name in METHODS if METHODS.get(name).fit):
        for scale in ("minmax", "reciprocal-rank") if method == "coordinate-ascent" else ("zscore",):
            answers = out_of_fold(learner(method, Scale(scale), learning), pools, folds)
            found[f"{method} ({scale})"] = np.array(
                [value(topic, pools[topic].shots, scores, objective) for topic, (_, scores) in answers.items()]
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of qrels.vbs2022 and run.vbs2022.*")
    args = parser.parse_args()
    qrels = read_qrels(args.data / "qrels.vbs2022")
    files = sorted(args.data.glob("run.vbs2022.*"))
    runs = {path.name.removeprefix("run.vbs2022."): read_run(path, topics=qrels.ids) for path in files}
    objective = xinfap_objective(qrels)
    pools = {topic: pool for topic, pool in sorted(pool_runs(runs, partial=True).items())}
    single = teams(runs, qrels, objective)
    best = max(single, key=lambda name: float(single[name].mean()))
    rows = {
        f"best team in hindsight ({best})": single[best],
        "best team of the other topics": chosen_on_the_others(single),
    }
    rows |= combinations(pools, objective) | learned(pools, qrels, objective)
    tests = randomization_test(np.stack(list(rows.values())))
    names = list(rows)
    reference = {"best team": 0, "average": names.index("average (minmax, minimum)"), "rrf": names.index("rrf")}
    result = {
        "what": " ".join((__doc__ or "").split("The figures have limits.")[1].split()),
        "topics": list(pools),
        "candidates": [len(pool) for pool in pools.values()],
        "teams": {name: round(float(values.mean()), 4) for name, values in single.items()},
        "swaps": f"{tests.swaps}, {'all there are' if tests.exact else 'random'}",
        "xinfAP": {
            name: {
                "mean": round(float(values.mean()), 4),
                "per_topic": values.round(4).tolist(),
                "p_against": {r: round(float(tests.p_values[i, at]), 4) for r, at in reference.items()},
            }
            for i, (name, values) in enumerate(rows.items())
        },
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "lightgbm": lightgbm.__version__},
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    for name, values in rows.items():
        print(f"{values.mean():.4f}  {name}")


if __name__ == "__main__":
    main()
