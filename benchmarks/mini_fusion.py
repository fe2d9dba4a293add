"""The gain of fusion, and of learning to fuse, on the mini collection: a small version of RUCMM's many models.

    python benchmarks/mini_fusion.py --work /tmp/mini -o benchmarks/results/mini_fusion.json

There are three test collections (600 shots, 30 topics each; seeds 0, 1, 2) and three training sets of 6,000 captioned
shots. Seven models are trained on each training set: LAFF, LAFF with another seed, LAFF without each of the three
encoders, LAFF-ml and dual encoding. The 21 models and the three encoders search each test collection: 24 lists per
topic. (RUCMM's 42 LAFFs come from six training sets and seven choices of features.)

Three sets of lists are fused: the encoders with one LAFF and one dual encoding per training set (9 lists); these and
LAFF-ml (12); all 24. Learned methods are fitted and tested on the 90 topics in five folds. A sentence has the same fold
in all three collections, so no method is tested on a sentence that it was fitted on. All settings are the defaults. The
24 lists are also fused on each collection alone, with 24 topics to learn from.

The script uses what benchmarks/mini_models.py leaves in --work. Training takes two hours on one core, and fusion 30
minutes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
from mini_models import ENCODERS, LAFF, TEST_SHOTS, TRAIN_SHOTS, avs, collection, train

from avs.core.artifacts import atomic_write
from avs.core.qrels import Qrels
from avs.fusion.cross_validation import out_of_fold, value
from avs.fusion.folds import Fold, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.methods import Learning, learner
from avs.fusion.methods.comb import Average
from avs.fusion.methods.ltr import Ltr
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import Scale
from avs.fusion.pool import pool_runs
from avs.fusion.two_step import learn_two_steps
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.qrels import read_qrels
from avs.trecvid.trec import read_trec

SEEDS = (0, 1, 2)
WITHOUT = {"laff-no-clip": "mini-clip", "laff-no-blip": "mini-blip", "laff-no-blip2": "mini-blip2"}
MODELS = ("laff", "laff-seed1", *WITHOUT, "laff-ml", "dual-encoding")
ENCODER_LISTS = tuple(f"{name}-shot" for name in ENCODERS)
FOLDS, FOLD_SEED = 5, 3


def of_sets(*models: str) -> tuple[str, ...]:
    return tuple(f"{model}-set{seed}" for model in models for seed in SEEDS)


LIST_SETS = {
    "9 lists": (*ENCODER_LISTS, *of_sets("laff", "dual-encoding")),
    "12 lists": (*ENCODER_LISTS, *of_sets("laff", "dual-encoding", "laff-ml")),
    "24 lists": (*ENCODER_LISTS, *of_sets(*MODELS)),
}


def train_all(work: Path, seed: int) -> None:
    """Train the models of one training set; they are called NAME-setSEED."""
    home, models = work / f"s{seed}", work / "fusion" / "models"
    learn = collection(home / "big", seed, "train", TRAIN_SHOTS)
    features = home / "big" / "features"
    wanted = {name: models / f"{name}-set{seed}" for name in MODELS}
    if all((path / "manifest.json").is_file() for path in wanted.values()):
        return
    made = train(home, learn.captions, features)  # type: ignore[arg-type]
    for name in ("laff", "laff-ml", "dual-encoding"):
        if not wanted[name].exists():
            made[name].rename(wanted[name])
    for name, path in wanted.items():
        if path.exists():
            continue
        stores = [e for e in ENCODERS if e != WITHOUT.get(name)]
        words = [word for e in stores for word in ("--store", features / e / "shot")]
        other = ["--seed", 1] if name == "laff-seed1" else []
        avs("train-laff", "--captions", learn.captions, *words, *LAFF, *other, "-o", path)


def search_all(work: Path, seed: int) -> Path:
    """Search one test collection with all models; returns the folder of the lists."""
    test = collection(work / f"s{seed}" / "test", seed, "test", TEST_SHOTS)
    lists = work / "fusion" / f"s{seed}"
    if not all((lists / f"{name}.trec").is_file() for name in LIST_SETS["24 lists"]):
        stores = [f"{test.folder}/features/{name}/{level}" for name in ENCODERS for level in ("shot", "frame")]
        models = [work / "fusion" / "models" / name for name in of_sets(*MODELS)]
        words = [w for store in stores for w in ("--store", store)]
        words += [str(w) for model in models for w in ("--checkpoint", model)]
        avs("search", "--topics", test.topics, *words, "--zero-shot", "-o", f"{lists}/")
    return lists


def read_all(work: Path, names: Sequence[str]) -> tuple[Pools, Qrels]:
    """The candidates and judgments of all collections; topic 901 of collection 2 is called 2-901."""
    pools, judged = {}, {}
    for seed in SEEDS:
        lists = search_all(work, seed)
        found = pool_runs({name: read_trec(lists / f"{name}.trec") for name in names})
        qrels = read_qrels(work / f"s{seed}" / "test/qrels/avs.qrels.mini")
        pools |= {f"{seed}-{t}": replace(pool, topic=f"{seed}-{t}") for t, pool in found.items()}
        judged |= {f"{seed}-{t}": replace(topic, topic=f"{seed}-{t}") for t, topic in qrels.topics.items()}
    return pools, Qrels(judged)


def learners(names: Sequence[str], learning: Learning) -> dict[str, Learner]:
    scale = Scale()
    families = {
        "laffs": tuple(sorted(name for name in names if name.startswith("laff"))),
        "dual-encodings": tuple(sorted(name for name in names if name.startswith("dual"))),
        "encoders": tuple(sorted(ENCODER_LISTS)),
    }
    within = learner("average", scale, learning)

    def two_steps(pools: Pools) -> Fuser:
        across = learner("coordinate-ascent", scale, learning)
        return learn_two_steps(pools, families, first=within, second=across, folds=())

    one_step = {name: learner(name, scale, learning) for name in ("rrf", "average", "coordinate-ascent", "ltr")}
    return {**one_step, "average in families, then coordinate-ascent": two_steps}


def kept(fuser: Fuser) -> object:
    """The weights or settings that cross-validation chose for a learned fuser."""
    if isinstance(fuser, Ltr):
        return fuser.trees
    if isinstance(fuser, Linear):
        return {name: round(weight, 3) for name, weight in fuser.weights.items()}
    return None


def study(pools: Pools, qrels: Qrels, names: Sequence[str], folds: Sequence[Fold]) -> dict[str, object]:
    """Means per collection, p-values, and what the learned fusers chose."""
    same = {topic: topic.split("-")[1] for topic in pools}
    objective = xinfap_objective(qrels)
    learning = Learning(objective, qrels, same)
    found: dict[str, dict[str, float]] = {}
    kept_by: dict[str, list[object]] = {}
    seconds: dict[str, float] = {}
    for name, fit in learners(names, learning).items():
        start = perf_counter()
        answers = out_of_fold(fit, pools, folds)
        seconds[name] = round(perf_counter() - start, 1)
        found[name] = {t: value(t, pools[t].shots, scores, objective) for t, (_, scores) in answers.items()}
        fitted = list({id(fuser): fuser for fuser, _ in answers.values()}.values())
        if kept(fitted[0]) is not None:
            kept_by[name] = [kept(fuser) for fuser in fitted]
    singles = {name: single(pools, name, objective) for name in names}
    best = max(singles, key=lambda name: np.mean(list(singles[name].values())))
    return {
        "lists": len(names),
        "topics": len(pools),
        "best single list, in hindsight": best,
        "xinfAP": {name: means(by) for name, by in {f"best single: {best}": singles[best], **found}.items()},
        "tests": {
            **{
                f"{name} against average": test(by, found["average"]) for name, by in found.items() if name != "average"
            },
            **{f"{name} against the best single list": test(by, singles[best]) for name, by in found.items()},
        },
        "kept": kept_by,
        "seconds": seconds,
        "single lists": {name: means(by) for name, by in singles.items()},
    }


def single(pools: Pools, name: str, objective) -> dict[str, float]:  # type: ignore[no-untyped-def]
    alone = {topic: pool.columns((name,)) for topic, pool in pools.items()}
    return {t: value(t, pool.shots, Average().fuse(pool), objective) for t, pool in alone.items()}


def means(by_topic: Mapping[str, float]) -> dict[str, float]:
    by_seed = {s: [v for t, v in by_topic.items() if t.startswith(f"{s}-")] for s in SEEDS}
    rounded = {f"seed {s}": round(float(np.mean(v)), 4) for s, v in by_seed.items() if v}
    return {**rounded, "all": round(float(np.mean(list(by_topic.values()))), 4)}


def test(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    rows = np.array([[one[topic] for topic in one], [other[topic] for topic in one]])
    p = randomization_test(rows, iterations=100_000, seed=0).p_values[0, 1]
    return {"difference": round(float((rows[0] - rows[1]).mean()), 4), "p": round(float(p), 5)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/mini_fusion.json"))
    options = parser.parse_args()
    for seed in SEEDS:
        train_all(options.work, seed)
    result: dict[str, object] = {"versions": {name: version(name) for name in ("avs", "numpy", "lightgbm", "torch")}}
    for title, names in LIST_SETS.items():
        pools, qrels = read_all(options.work, names)
        same = {topic: topic.split("-")[1] for topic in pools}
        whole = study(pools, qrels, names, topic_folds(tuple(pools), FOLDS, seed=FOLD_SEED, same=same))
        result[title] = whole
        print(json.dumps({title: {key: whole[key] for key in ("xinfAP", "tests", "seconds")}}, indent=1), flush=True)
    alone = {}
    for seed in SEEDS:  # of the largest set
        own = {topic: pool for topic, pool in pools.items() if topic.startswith(f"{seed}-")}
        some = study(own, qrels, names, topic_folds(tuple(own), FOLDS, seed=FOLD_SEED))
        alone[f"seed {seed}"] = {key: some[key] for key in ("xinfAP", "tests", "kept")}
    result[f"{title}, each collection alone"] = alone
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
