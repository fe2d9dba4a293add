"""Text-to-image retrieval on five folds of 1,000 images of Flickr8k: ridge regression and LAFF.

    python benchmarks/flickr8k/study.py --work flickr8k

Writes results/flickr8k.json and prints its table. Run it again to resume.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import laff
import numpy as np
import ridge
from folds import DATA, FOLDS, SEED, Images, read_images, split

from avs.core.artifacts import installed_versions
from avs.metrics.text_to_video import RetrievalScores

RESULTS = Path(__file__).resolve().parents[1] / "results" / "flickr8k.json"
MEASURES = ("R@1", "R@5", "R@10", "MRR")
SYSTEMS = (
    laff.System("one FC each, tanh, hinge", "flickr8k_paper.yaml", ("--heads", "1")),
    laff.System("LAFF, paper", "flickr8k_paper.yaml"),
    laff.System("LAFF, best", "flickr8k_best.yaml"),
)
FoldScores = Callable[[int, Images, Images], RetrievalScores]


def ridge_scores(_number: int, train: Images, test: Images) -> RetrievalScores:
    return ridge.fold_scores(train, test)[1]


def report(name: str, scores: FoldScores, folds: Sequence[tuple[Images, Images]]) -> dict[str, object]:
    """Scores of a system on every fold, their mean and sample standard deviation."""
    rows = []
    for number, (train, test) in enumerate(folds, start=1):
        measures = scores(number, train, test).measures
        rows.append([measures[measure] for measure in MEASURES])
        print(f"{name}, fold {number}: " + ", ".join(f"{m} {v:.3g}" for m, v in zip(MEASURES, rows[-1], strict=True)))
    return {
        "folds": [dict(zip(MEASURES, row, strict=True)) for row in rows],
        "mean": dict(zip(MEASURES, np.mean(rows, 0).tolist(), strict=True)),
        "std": dict(zip(MEASURES, np.std(rows, 0, ddof=1).tolist(), strict=True)),
    }


def table(systems: dict[str, dict]) -> str:
    """Mean ± standard deviation, as markdown."""
    lines = ["| | " + " | ".join(MEASURES) + " |", "|---" + "|---:" * len(MEASURES) + "|"]
    for name, row in systems.items():
        digits = {measure: 3 if measure == "MRR" else 1 for measure in MEASURES}
        cells = [f"{row['mean'][m]:.{digits[m]}f} ± {row['std'][m]:.{digits[m]}f}" for m in MEASURES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA / "flickr8k_clip")
    parser.add_argument("--work", type=Path, required=True, help="folder for features, captions and models")
    args = parser.parse_args()
    images = read_images(args.data)
    args.work.mkdir(parents=True, exist_ok=True)
    laff.write_store(images, args.work / "images")
    folds = split(images)
    systems = {"ridge": report("ridge", ridge_scores, folds)}
    for system in SYSTEMS:
        scores: FoldScores = partial(laff.fold_scores, system, work=args.work)
        systems[system.name] = report(system.name, scores, folds)
    result = {
        "what": f"{len(images.features)} images, {FOLDS} folds (seed {SEED}), a query an image",
        "systems": systems,
        "machine": {"processor": platform.processor(), "versions": installed_versions()},
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(table(systems))


if __name__ == "__main__":
    main()
