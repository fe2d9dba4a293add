"""Does learning to rank profit from choosing what it starts from? Lists over the topics of TRECVID 2021, out of fold.

    OMP_NUM_THREADS=1 python benchmarks/tv21_starts.py --data ../shared/data/tv21

The judgments and one of the lists are real; the others are drawn from that list (see tv21_fusion.py). Each topic is
ranked by what was learned in five folds without it. "from the average" is what avs did before it chose the start.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np
from tv21_fusion import variants

from avs.core.qrels import Qrels
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import Pools
from avs.fusion.methods import AVERAGE, Learning, learner, unlearned
from avs.fusion.methods.ltr import Ltr
from avs.fusion.methods.start import STARTS
from avs.fusion.normalize import Scale
from avs.fusion.pool import pool_runs
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run

RESULTS = Path(__file__).parent / "results" / "tv21_starts.json"
SETS = {
    "six lists": ("rucmm", "blur", "more-blur", "half", "mixed", "pool"),
    "three lists": ("rucmm", "half", "more-blur"),
}


def learned(pools: Pools, qrels: Qrels) -> tuple[np.ndarray, Counter[str]]:
    """(T,) xinfAP of held-out topics, and the starts that their fusers chose."""
    objective = xinfap_objective(qrels)
    learn = learner("ltr", Scale(), Learning(objective, qrels, {}))
    answers = out_of_fold(learn, pools, topic_folds(tuple(pools), 5, seed=0))
    found = [value(topic, pools[topic].shots, scores, objective) for topic, (_, scores) in answers.items()]
    return np.array(found), Counter(fuser.start for fuser, _ in answers.values() if isinstance(fuser, Ltr))


def measured(pools: Pools, qrels: Qrels) -> dict[str, object]:
    rows = {
        name: np.array(list(values(unlearned(name, Scale()), pools, xinfap_objective(qrels)).values()))
        for name in STARTS
    }
    with patch("avs.fusion.methods.ltr.choose_start", lambda pools, objective: AVERAGE):
        rows["ltr from the average"] = learned(pools, qrels)[0]
    rows["ltr"], starts = learned(pools, qrels)
    p_values = randomization_test(np.stack(list(rows.values()))).p_values[-1]
    return {
        "xinfAP": {name: round(float(row.mean()), 4) for name, row in rows.items()},
        "p_against_ltr": {name: round(float(p), 4) for name, p in zip(rows, p_values, strict=True)},
        "starts_of_the_topics": dict(starts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of avs.qrels.main.tv21 and RUCMM.run")
    args = parser.parse_args()
    qrels = read_qrels(args.data / "avs.qrels.main.tv21")
    runs = variants(read_run(args.data / "RUCMM.run", topics=qrels.ids), qrels)
    result = {name: measured(pool_runs({one: runs[one] for one in lists}), qrels) for name, lists in SETS.items()}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
