"""What training adds on the mini collection: LAFF, LAFF-ml and dual encoding against the encoders they build on.

    python benchmarks/mini_models.py --seed 0 --seed 1 --seed 2 --work /tmp/mini -o benchmarks/results/mini_models.json

For each seed the script makes a test collection of 600 shots with 30 topics, 6,000 other shots with captions to train
on, features of the three small encoders for both, and four models, all with the commands a user types. It reports mean
xinfAP over all topics and over the ten about motion, and paired randomization tests over the topics of all seeds.

Files in --work are used again. It takes two hours on one core, mostly for training. Seeds can run in parallel; a last
call with all seeds puts them together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from avs.core.artifacts import atomic_write
from avs.demo.collection import CollectionPaths, generate_collection
from avs.metrics.significance import randomization_test

ENCODERS = ("mini-clip", "mini-blip", "mini-blip2")
TEST_SHOTS, TRAIN_SHOTS = 600, 6000
COMMON = ["--batch-size", "512"]
LAFF = ["--head-dim", "128", "--epochs", "12", "--learning-rate", "0.0004", *COMMON]
DUAL = """
collections: {{train: {{captions: {captions}, features: [{frames}]}}}}
text: [bow, mini-clip]
model: {{architecture: dual-encoding, space: 256, hidden: 128, filters: 128, kernels: [2, 3], levels: {levels}}}
training: {{epochs: 20, batch_size: 512, learning_rate: 0.001, cut_patience: 3}}
"""
COMPARISONS = (
    ("laff", "best encoder", "all"),
    ("laff-ml", "laff", "all"),
    ("dual-encoding", "dual-encoding-mean", "motion"),
)


def avs(*words: object) -> None:
    print("$ avs", *words, flush=True)
    subprocess.run([sys.executable, "-m", "avs", *map(str, words), "--quiet"], check=True)


def collection(folder: Path, seed: int, split: str, shots: int) -> CollectionPaths:
    """A collection with the features of its shots."""
    paths = generate_collection(folder, shots=shots, seed=seed, split=split, workers=1)  # type: ignore[arg-type]
    stores = [folder / "features" / name / level for name in ENCODERS for level in ("shot", "frame")]
    if not all((store / "manifest.json").is_file() for store in stores):
        avs("shots", "--videos", paths.videos, "--msb", paths.msb, "-o", folder / "shots.tsv", "--workers", 1)
        models = [word for name in ENCODERS for word in ("--model", name)]
        levels = ["--level", "shot", "--level", "frame"]
        where = ["--videos", paths.videos, "--shots", folder / "shots.tsv", "-o", folder / "features", "--workers", 0]
        avs("extract-features", *where, *models, *levels, "--policy", "interval", "--interval", 0.5)
    return paths


def train(work: Path, captions: Path, features: Path) -> dict[str, Path]:
    """Name -> model."""
    shot = [word for name in ENCODERS for word in ("--store", features / name / "shot")]
    frame = [word for name in ENCODERS for word in ("--store", features / name / "frame")]
    models = {name: work / "models" / name for name in ("laff", "laff-ml", "dual-encoding", "dual-encoding-mean")}
    for name, levels in (("dual-encoding", "[gru, conv, mean]"), ("dual-encoding-mean", "[mean]")):
        recipe = work / f"{name}.yaml"
        frames = features / "mini-clip" / "frame"
        recipe.write_text(DUAL.format(captions=captions, frames=frames, levels=levels), encoding="utf-8")
        avs("train-dual-encoding", "--config", recipe, "-o", models[name])
    avs("train-laff", "--captions", captions, *shot, *LAFF, "-o", models["laff"])
    avs("train-laff", "--captions", captions, *shot, *frame, *LAFF, "-o", models["laff-ml"])
    return models


def score(work: Path, seed: int) -> dict[str, dict[str, float]]:
    """Name -> topic -> xinfAP."""
    test = collection(work / "test", seed, "test", TEST_SHOTS)
    learn = collection(work / "big", seed, "train", TRAIN_SHOTS)
    models = train(work, learn.captions, work / "big" / "features")  # type: ignore[arg-type]
    features = [work / "test" / "features" / name / level for name in ENCODERS for level in ("shot", "frame")]
    stores = [word for store in features for word in ("--store", store)]
    trained = [word for model in models.values() for word in ("--checkpoint", model)]
    lists = work / "lists"
    avs("search", "--topics", test.topics, *stores, *trained, "--zero-shot", "-o", lists)
    names = [*models, *(f"{name}-shot" for name in ENCODERS)]
    paths = [str(lists / f"{name}.trec") for name in names]
    command = [sys.executable, "-m", "avs", "eval", *paths, "--qrels", str(test.qrels), "--measures", "infAP", "--json"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {
        name: {topic: row["infAP"] for topic, row in run["topics"].items()}
        for name, run in zip(names, answer["runs"], strict=True)
    }


def summary(scores: dict[int, dict[str, dict[str, float]]], tags: dict[str, list[str]]) -> dict[str, object]:
    """Means by seed and kind of topic, and p-values over the topics of all seeds."""
    motion = [topic for topic in tags if "motion" in tags[topic]]
    kinds = {"all": list(tags), "motion": motion}
    means = {
        kind: {
            name: {seed: round(float(np.mean([by[name][t] for t in topics])), 4) for seed, by in scores.items()}
            for name in next(iter(scores.values()))
        }
        for kind, topics in kinds.items()
    }
    tests = {}
    for one, other, kind in COMPARISONS:
        rows: list[list[float]] = [[], []]
        for seed, by in scores.items():
            encoders = {f"{name}-shot" for name in ENCODERS}
            best = max(encoders, key=lambda name: means["all"][name][seed])
            rows[0] += [by[one][t] for t in kinds[kind]]
            rows[1] += [by[best if other == "best encoder" else other][t] for t in kinds[kind]]
        values = np.array(rows)
        p = randomization_test(values, iterations=100_000, seed=0)
        tests[f"{one} against {other}, {kind} topics"] = {
            "difference": round(float((values[0] - values[1]).mean()), 4),
            "topics": values.shape[1],
            "p": round(float(p.p_values[0, 1]), 5),
        }
    return {"xinfAP": means, "tests": tests}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, action="append", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/mini_models.json"))
    options = parser.parse_args()
    scores = {seed: score(options.work / f"s{seed}", seed) for seed in options.seed}
    tags = json.loads((options.work / f"s{options.seed[0]}" / "test/topics/mini.topics.json").read_text())
    result = {
        "versions": {name: version(name) for name in ("avs", "torch", "numpy")},
        "train_shots": TRAIN_SHOTS,
        "test_shots": TEST_SHOTS,
        "laff": " ".join(LAFF),
        "dual_encoding": DUAL.strip(),
        **summary(scores, tags),
        "by_topic": scores,
    }
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(json.dumps({key: result[key] for key in ("xinfAP", "tests")}, indent=1))


if __name__ == "__main__":
    main()
