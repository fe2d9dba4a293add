"""A TeachCLIP beside an ensemble of LAFFs on the mini collection, as RUCMM's 43rd model beside their 42 LAFFs.

    OMP_NUM_THREADS=1 python benchmarks/mini_teachclip_fusion.py --work /tmp/mini-pixels

The script goes on from what benchmarks/mini_pixel_models.py leaves in --work: its test collections (600 shots, 30
topics each; seeds 0, 1, 2), its captioned shots, and the list of TeachCLIP for every seed.

Four LAFFs are trained on the first 6,000 of the captioned shots: with all three encoders, and without each. They
search every test collection. Their lists are fused without and with that of TeachCLIP. Learned methods are fitted and
tested on the 90 topics in five folds; a sentence has the same fold in all three collections. What is already in --work
is used again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from mini_fusion import FOLD_SEED, FOLDS, SEEDS, learners, means, single, test
from mini_models import ENCODERS, LAFF, avs

from avs.core.artifacts import atomic_write
from avs.core.qrels import Qrels
from avs.fusion.cross_validation import out_of_fold, value
from avs.fusion.folds import topic_folds
from avs.fusion.fuser import Pools
from avs.fusion.methods import Learning
from avs.fusion.pool import pool_runs
from avs.metrics.xinfap_objective import xinfap_objective
from avs.trecvid.qrels import read_qrels
from avs.trecvid.trec import read_trec

WITHOUT = {"laff": None, "laff-no-clip": "mini-clip", "laff-no-blip": "mini-blip", "laff-no-blip2": "mini-blip2"}
LAFFS = tuple(WITHOUT)
STUDENT = "teachclip-12000"


def features(folder: Path) -> Path:
    """Make the shot stores of a collection of mini_pixel_models.py with all encoders."""
    found = folder / "encoders"
    models = [word for name in ENCODERS for word in ("--model", name)]
    where = ["--videos", folder / "videos", "--shots", folder / "shots.tsv", "-o", f"{found}/", "--workers", 0]
    avs("extract-features", *where, *models, "--policy", "interval", "--interval", 0.5)
    return found


def train_laffs(work: Path) -> list[Path]:
    """Train the LAFFs; those that are done are left as they are."""
    stores = features(work / "train")
    captions = work / "captions" / "6000.caption.txt"
    for name, missing in WITHOUT.items():
        words = [word for e in ENCODERS if e != missing for word in ("--store", stores / e / "shot")]
        avs("train-laff", "--captions", captions, *words, *LAFF, "-o", work / "laffs" / name)
    return [work / "laffs" / name for name in LAFFS]


def search(work: Path, seed: int, models: list[Path]) -> dict[str, Path]:
    """Search the test collection of a seed; name -> list."""
    home, lists = work / f"test{seed}", work / "laff-lists" / f"s{seed}"
    stores = features(home)
    words = [w for e in ENCODERS for w in ("--store", stores / e / "shot")]
    trained = [w for model in models for w in ("--checkpoint", model)]
    avs("search", "--topics", home / "topics/mini.avs.topics.txt", *words, *trained, "-o", f"{lists}/")
    student = work / "lists" / f"{STUDENT}-{seed}-forward.trec"
    return {**{name: lists / f"{name}.trec" for name in LAFFS}, STUDENT: student}


def read_all(work: Path, lists: dict[int, dict[str, Path]], names: tuple[str, ...]) -> tuple[Pools, Qrels]:
    """The candidates and judgments of all collections; topic 901 of collection 2 is called 2-901."""
    pools, judged = {}, {}
    for seed, paths in lists.items():
        found = pool_runs({name: read_trec(paths[name]) for name in names})
        qrels = read_qrels(work / f"test{seed}/qrels/avs.qrels.mini")
        pools |= {f"{seed}-{t}": replace(pool, topic=f"{seed}-{t}") for t, pool in found.items()}
        judged |= {f"{seed}-{t}": replace(topic, topic=f"{seed}-{t}") for t, topic in qrels.topics.items()}
    return pools, Qrels(judged)


def fuse(pools: Pools, qrels: Qrels, names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Method -> topic -> xinfAP out of fold."""
    same = {topic: topic.split("-")[1] for topic in pools}
    folds = topic_folds(tuple(pools), FOLDS, seed=FOLD_SEED, same=same)
    objective = xinfap_objective(qrels)
    found: dict[str, dict[str, float]] = {name: single(pools, name, objective) for name in names}
    for name, fit in learners(names, Learning(objective, qrels, same)).items():
        if "families" in name:  # needs lists of encoders
            continue
        answers = out_of_fold(fit, pools, folds)
        found[name] = {t: value(t, pools[t].shots, scores, objective) for t, (_, scores) in answers.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/mini_teachclip_fusion.json"))
    options = parser.parse_args()
    models = train_laffs(options.work)
    lists = {seed: search(options.work, seed, models) for seed in SEEDS}
    without = fuse(*read_all(options.work, lists, LAFFS), LAFFS)
    both = fuse(*read_all(options.work, lists, (*LAFFS, STUDENT)), (*LAFFS, STUDENT))
    result = {
        "versions": {name: version(name) for name in ("avs", "numpy", "lightgbm", "torch")},
        "laff": " ".join(LAFF),
        "single lists": {name: means(both.pop(name)) for name in (*LAFFS, STUDENT)},
        "fused": {
            name: {
                "4 LAFFs": means(without[name]),
                "and TeachCLIP": means(by),
                **test(by, without[name]),
            }
            for name, by in both.items()
        },
    }
    print(json.dumps(result, indent=1))
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
