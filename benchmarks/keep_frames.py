"""What `--level keep:K` is worth: zero-shot search of the mini collection by the best of K frames of a shot.

    python benchmarks/keep_frames.py --work /tmp/keep -o benchmarks/results/keep_frames.json

Three small encoders fill stores of every level in one pass over the collection of each seed. The topics are searched in
each, at frame levels by the best frame. What is already in --work is used again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from decode_speed import cpu_name
from preview import ENCODERS, avs, collection

from avs.core.artifacts import atomic_write
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.features.levels import parse_level
from avs.features.recipe import EncoderRecipe, ExtractionRecipe
from avs.pipeline.extract import extract_features

LEVELS = ("shot", "keep:1", "keep:2", "keep:3", "keep:4", "keep:8", "frame")
RESULTS = Path(__file__).parent / "results" / "keep_frames.json"


def searched(work: Path, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """By level and encoder: xinfAP, and rows per shot."""
    made, table = collection(work, seed)
    folder = work / f"s{seed}" / "levels"
    recipe = ExtractionRecipe(encoders=[EncoderRecipe(model=name) for name in ENCODERS], levels=list(LEVELS))
    extract_features(recipe, made.videos, table, folder, workers=0, reporter=Reporter(quiet=True))
    stores = [folder / name / parse_level(level).folder for level in LEVELS for name in ENCODERS]
    avs("search", "--topics", made.topics, *[word for store in stores for word in ("--store", store)],
        "-o", f"{folder}/lists/", "--quiet", "--force")  # fmt: skip
    found: dict[str, dict[str, dict[str, float]]] = {}
    for level in LEVELS:
        for name in ENCODERS:
            store = folder / name / parse_level(level).folder
            path = folder / "lists" / f"{name}-{store.name}.trec"
            run = json.loads(avs("eval", path, "--qrels", made.qrels, "--measures", "infAP", "--json"))["runs"][0]
            score = float(np.mean([row["infAP"] for row in run["topics"].values()]))
            opened = FeatureStore(store)
            rows = len(opened.vectors) / len(opened)
            found.setdefault(level, {})[name] = {"xinfAP": round(score, 4), "rows per shot": round(rows, 3)}
    return found


def summary(found: Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]) -> dict[str, dict[str, object]]:
    """Means over encoders, by seed; and the rows per shot."""
    means: dict[str, dict[str, object]] = {}
    for level in LEVELS:
        of_seeds = [list(by[level].values()) for by in found.values()]
        rows = [one["rows per shot"] for of_seed in of_seeds for one in of_seed]
        means[level] = {
            "xinfAP by seed": [round(float(np.mean([one["xinfAP"] for one in of_seed])), 4) for of_seed in of_seeds],
            "rows per shot": round(float(np.mean(rows)), 2),
        }
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = {str(seed): searched(options.work, seed) for seed in options.seeds}
    result = {
        "versions": {name: version(name) for name in ("avs", "av", "torch", "numpy")},
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count()},
        "means": summary(found),
        "by_seed": found,
    }
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(json.dumps(result["means"], indent=1))


if __name__ == "__main__":
    main()
