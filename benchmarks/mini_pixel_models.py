"""CLIP4Clip, CLIP2Video, X-CLIP and TeachCLIP on the mini collection: is each better than what it grew from?

    OMP_NUM_THREADS=1 python benchmarks/mini_pixel_models.py --work /tmp/mini-pixels

Every seed has a test collection of 600 shots with 30 topics. The models are trained on 12,000 other shots with
captions, and on the first 6,000 of these, on frames of the frozen vision tower (8 of a shot, lengths as the tower gives
them); the text tower and the head are trained. Everything is made with avs commands, but for two things. The text tower
starts from `mini_words.py`, since that of the demo's CLIP does not see motion words. And every test store is written a
second time with the frames of each shot in reverse order, to see what the lists do.

All models rank all 600 shots. X-CLIP, which no search has, reranks the list of the untrained CLIP to its end. TeachCLIP
is trained by the X-CLIP of the same seed and size: by its scores, by its frames, by both, and without a teacher.

The results are mean xinfAP over all topics and over the ten about motion, paired randomization tests over the topics of
all seeds, and how often a sentence with a thing's own direction scores above the same sentence with the other one. A
training that is done is not repeated: run the same command again after an interruption. --models, --seeds and --sizes
choose what is trained and scored now; what --out has of others is kept and compared with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from mini_words import teach_words

from avs.core.artifacts import Manifest, atomic_write
from avs.core.store import FeatureStore
from avs.core.store_writer import FeatureWriter, ShotFeatures
from avs.demo.collection import CollectionPaths, generate_collection, sample_collection, scenes_by_shot
from avs.demo.topics import MINI_TOPICS
from avs.metrics.significance import randomization_test

TEST_SHOTS, TRAIN_SEED, FRAMES = 600, 0, 8
SEEDS = (0, 1, 2)
EPOCHS = {12000: 4, 6000: 8}  # shots -> epochs; both are about 425 steps of 512
RECIPE = """
collections: {{train: {{captions: {captions}, features: [{frames}]}}}}
validation: {{measure: MRR}}
teachers: {teachers}
model:
  architecture: {architecture}
  backbone: {backbone}
  {options}
  freeze: 1
  max_words: 20
  backbone_ratio: 0.2
training:
  optimiser: adamw
  learning_rate: 0.005
  weight_decay: 0.5
  schedule: cosine
  batch_size: 512
  epochs: {epochs}
  patience: {epochs}
  seed: {seed}
"""
OVER_TIME = "layers: 2\n  init: zero\n  position_scale: 20"
STUDENT = f"max_frames: {FRAMES}\n  afa_ratio: 0.2\n  {OVER_TIME}"
MODELS = {  # name -> architecture and options; in the order of training, for a teacher comes before its students
    "meanP": ("clip4clip", f"head: meanP\n  {OVER_TIME}"),
    "seqTransf": ("clip4clip", f"head: seqTransf\n  {OVER_TIME}"),
    "clip2video": ("clip2video", f"max_frames: {FRAMES}\n  {OVER_TIME}"),
    "xclip": ("xclip", f"max_frames: {FRAMES}\n  head: seqTransf\n  {OVER_TIME}"),
    "teachclip": ("teachclip", STUDENT),
    "student": ("teachclip", f"own_weight: 1\n  coarse_weight: 0\n  fine_weight: 0\n  {STUDENT}"),
    "taught_scores": ("teachclip", f"fine_weight: 0\n  {STUDENT}"),
    "taught_frames": ("teachclip", f"coarse_weight: 0\n  {STUDENT}"),
}
TEACHER = "xclip"
TAUGHT = ("taught_scores", "taught_frames", "teachclip")
COMPARED = [
    *((name, "meanP") for name in MODELS if name != "meanP"),
    ("clip2video", "seqTransf"),
    *((TEACHER, name) for name in MODELS if name not in (TEACHER, "meanP")),
    *((name, "student") for name in TAUGHT),
]
DIRECTIONS = {"right": "moving to the right", "left": "moving to the left"}
OPPOSITE = {"right": "left", "left": "right", "up": "down", "down": "up", "grow": "shrink", "shrink": "grow"}


def avs(*words: object) -> None:
    print("$ avs", *words, flush=True)
    subprocess.run([sys.executable, "-m", "avs", *map(str, words), "--quiet"], check=True)


def collection(folder: Path, seed: int, split: str, shots: int, backbone: Path) -> tuple[CollectionPaths, Path]:
    """Make a collection and the store of its frames."""
    made = generate_collection(folder, shots=shots, seed=seed, split=split, workers=0)  # type: ignore[arg-type]
    avs("shots", "--videos", made.videos, "--msb", made.msb, "-o", folder / "shots.tsv", "--workers", 1)
    where = ["--videos", made.videos, "--shots", folder / "shots.tsv", "-o", folder / "features", "--workers", 0]
    what = ["--model", "clip", "--weights", backbone, "--level", "frame", "--raw-length"]
    avs("extract-features", *where, *what, "--policy", "uniform", "--frames", FRAMES)
    return made, folder / "features" / "clip" / "frame"


def reversed_store(source: Path, folder: Path) -> Path:
    """Write a store again, with the frames of every shot from the last to the first."""
    if not (folder / "manifest.json").is_file():
        store = FeatureStore(source)
        made = store.manifest
        config = {**made["config"], "order": "reversed"}
        writer = FeatureWriter(
            folder,
            Manifest(made["type"], config, made["inputs"], made["spec"]),
            dtype=str(store.vectors.dtype),
        )
        for shot in store.ids:
            vectors = store.frames(shot)[::-1]
            writer.add(ShotFeatures(shot, vectors, np.arange(len(vectors), dtype=float)))
        writer.commit(store.ids)
    return folder


def direction_topics(path: Path, seed: int) -> list[tuple[str, str, str]]:
    """Write two sentences for every kind and colour that moves to the right or left in a test collection.

    Returns:
        For every such thing: its shot, the topic with its direction, and the topic with the other one.
    """
    scenes = scenes_by_shot(sample_collection(shots=TEST_SHOTS, seed=seed, split="test"))
    moving = [(shot, thing) for shot, scene in scenes.items() for thing in scene.things if thing.motion in DIRECTIONS]
    named = [(shot, f"{thing.colour} {thing.kind}", thing.motion) for shot, thing in moving]
    number = {pair: str(1001 + i) for i, pair in enumerate(product(sorted({name for _, name, _ in named}), DIRECTIONS))}
    with atomic_write(path) as file:
        for (name, way), topic in number.items():
            file.write(f"{topic}  {'an' if name[0] in 'aeiou' else 'a'} {name} {DIRECTIONS[way]}\n")
    return [(shot, number[name, way], number[name, OPPOSITE[way]]) for shot, name, way in named]


def bounds(seed: int) -> dict[str, float]:
    """Mean AP over the motion topics of lists that know all of a scene but its motions, or all but their directions."""
    scenes = list(scenes_by_shot(sample_collection(shots=TEST_SHOTS, seed=seed, split="test")).values())
    rng, found = np.random.default_rng(seed), dict[str, list[float]]()
    for pattern in (topic.pattern for topic in MINI_TOPICS if "motion" in topic.tags):
        wanted = pattern.things[0]
        either: set[str | None] = {wanted.motion, OPPOSITE.get(wanted.motion or "", wanted.motion)}
        known: dict[str, set[str | None]] = {"all but the motion": {None}, "all but the direction": either}
        relevant = np.array([pattern.matches(scene) for scene in scenes])
        for name, motions in known.items():
            likely = np.zeros(len(scenes), dtype=bool)
            for motion in motions:
                other = replace(pattern, things=(replace(wanted, motion=motion),))
                likely |= np.array([other.matches(scene) for scene in scenes])
            draws = [_average_precision(likely, relevant, rng) for _ in range(100)]
            found.setdefault(name, []).append(float(np.mean(draws)))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def _average_precision(likely: np.ndarray, relevant: np.ndarray, rng: np.random.Generator) -> float:
    """AP of a list with the likely shots first, in random order."""
    order = np.lexsort((rng.random(len(likely)), ~likely))
    hits = relevant[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def read_scores(path: Path) -> dict[str, dict[str, float]]:
    """Topic -> shot -> score of a list."""
    scores: dict[str, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        topic, _, shot, _, score, _ = line.split()
        scores.setdefault(topic, {})[shot] = float(score)
    return scores


def train(work: Path, size: int, name: str, seed: int, captions: Path, frames: Path) -> Path:
    """Train a model on the first shots of the training collection; a done training is left as it is."""
    case = f"{name}-{size}-{seed}"
    shots = list(scenes_by_shot(sample_collection(shots=size, seed=TRAIN_SEED, split="train")))
    own, chosen = work / "captions" / f"{size}.caption.txt", set(shots)
    lines = [line for line in captions.read_text(encoding="utf-8").splitlines(True) if line.partition("#")[0] in chosen]
    architecture, options = MODELS[name]
    text = RECIPE.format(
        captions=own,
        frames=frames,
        teachers=[str(work / "models" / f"{TEACHER}-{size}-{seed}")] if name in TAUGHT else [],
        architecture=architecture,
        backbone=work / "clip",
        options=options,
        epochs=EPOCHS[size],
        seed=seed,
    )
    recipe = work / "recipes" / f"{case}.yaml"
    for path, content in ((own, "".join(lines)), (recipe, text)):
        with atomic_write(path) as file:
            file.write(content)
    avs(f"train-{architecture}", "--config", recipe, "-o", work / "models" / case)
    return work / "models" / case


def rank(work: Path, name: str, model: Path, topics: list[Path], store: Path, found: Path) -> None:
    """Write the list of all shots of a store."""
    queries = [word for path in topics for word in ("--topics", path)]
    if MODELS[name][0] != TEACHER:
        avs("search", *queries, "--store", store, "--checkpoint", model, "-o", found)
        return
    every = found.with_name(f"every-{found.name}")
    avs("search", *queries, "--store", store, "-o", every)
    what = ["--method", "model", "--checkpoint", model, "--store", store]
    avs("rerank", every, *what, *queries, "--depth", TEST_SHOTS, "--alpha", 0, "-o", found)


def average_precision(lists: dict[str, Path], qrels: Path) -> dict[str, dict[str, float]]:
    """Name of a list -> topic -> xinfAP."""
    paths = [str(path) for path in lists.values()]
    command = [sys.executable, "-m", "avs", "eval", *paths, "--qrels", str(qrels), "--measures", "infAP", "--json"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    rows = [{topic: row["infAP"] for topic, row in run["topics"].items()} for run in answer["runs"]]
    return dict(zip(lists, rows, strict=True))


def score(work: Path, case: str, model: Path, seed: int, test: CollectionPaths, frames: Path) -> dict[str, Any]:
    """What a model does on the test collection of a seed, with frames in order and reversed."""
    stores = {
        "forward": frames,
        "reversed": reversed_store(frames, work / f"test{seed}" / "reversed" / "clip" / "frame"),
    }
    ways = work / f"test{seed}" / "directions.txt"
    things = direction_topics(ways, seed)
    judged = {line.split()[0] for line in test.topics.read_text(encoding="utf-8").splitlines()}  # type: ignore[union-attr]
    found: dict[str, Any] = {}
    lists, right, ranked = {}, {}, {}
    for order, store in stores.items():
        both, lists[order] = (work / "lists" / f"{case}-{order}{kind}.trec" for kind in ("-all", ""))
        rank(work, case.split("-")[0], model, [test.topics, ways], store, both)  # type: ignore[list-item]
        with atomic_write(lists[order]) as file:
            file.writelines(line for line in both.read_text().splitlines(True) if line.split()[0] in judged)
        scores = read_scores(both)
        right[order] = float(np.mean([scores[own][shot] > scores[other][shot] for shot, own, other in things]))
        ranked[order] = {topic: list(scores[topic]) for topic in judged}
    found["xinfAP"] = average_precision(lists, test.qrels)  # type: ignore[arg-type]
    found["own direction first"] = right
    found["things that move right or left"] = len(things)
    found["topics with the same list when reversed"] = sum(
        ranked["forward"][topic] == ranked["reversed"][topic] for topic in judged
    )
    last = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    found["loss per epoch"] = [round(float(line["loss"]), 4) for line in last]
    return found


def compared(found: dict[str, dict[str, Any]], kinds: dict[str, list[str]]) -> dict[str, object]:
    """Means of each model and size by seed, and paired tests over the topics of all seeds that both models have."""
    means: dict[str, object] = {}
    tests: dict[str, object] = {}
    for kind, topics in kinds.items():

        def rows(case: str, order: str = "forward", topics: list[str] = topics) -> dict[int, list[float]]:
            have = [seed for seed in SEEDS if f"{case}-{seed}" in found]
            return {seed: [found[f"{case}-{seed}"]["xinfAP"][order][t] for t in topics] for seed in have}

        for case, order in product(sorted({name.rpartition("-")[0] for name in found}), ("forward", "reversed")):
            values = {seed: round(float(np.mean(row)), 4) for seed, row in rows(case, order).items()}
            means[f"{case}, {kind} topics, {order}"] = values
        for (name, other), size in product(COMPARED, EPOCHS):
            one, two = rows(f"{name}-{size}"), rows(f"{other}-{size}")
            both = sorted(one.keys() & two.keys())
            if both:
                values = np.array([sum((each[seed] for seed in both), []) for each in (one, two)])
                p = randomization_test(values, iterations=100_000, seed=0)
                tests[f"{name}-{size} against {other}-{size}, {kind} topics"] = {
                    "difference": round(float((values[0] - values[1]).mean()), 4),
                    "ratio": round(float(values[0].mean() / values[1].mean()), 4),
                    "topics": values.shape[1],
                    "p": round(float(p.p_values[0, 1]), 5),
                }
    return {"mean xinfAP by seed": means, "tests": tests}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), choices=SEEDS)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/results/mini_pixel_models.json"))
    options = parser.parse_args()
    work = options.work
    words = teach_words(work / "clip", seed=TRAIN_SEED)
    train_set, train_frames = collection(work / "train", TRAIN_SEED, "train", max(EPOCHS), work / "clip")
    tests = {s: collection(work / f"test{s}", s, "test", TEST_SHOTS, work / "clip") for s in options.seeds}
    found: dict[str, dict[str, Any]] = {}
    if options.out.is_file():
        found = json.loads(options.out.read_text(encoding="utf-8"))["models"]
    for size, seed, name in product(options.sizes, options.seeds, options.models):
        test, frames = tests[seed]
        case = f"{name}-{size}-{seed}"
        model = train(work, size, name, seed, train_set.captions, train_frames)  # type: ignore[arg-type]
        found[case] = score(work, case, model, seed, test, frames)
        tags = json.loads(test.topic_tags.read_text())  # type: ignore[union-attr]
        kinds = {"all": list(tags), "motion": [topic for topic in tags if "motion" in tags[topic]]}
        result = {
            "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "versions": {each: version(each) for each in ("avs", "torch", "transformers", "numpy")},
            "test_shots": TEST_SHOTS,
            "frames": FRAMES,
            "epochs": EPOCHS,
            "recipe": RECIPE.strip(),
            "options": MODELS,
            "words": words,
            "bounds": {seed: bounds(seed) for seed in SEEDS},
            **compared(found, kinds),
            "models": found,
        }
        with atomic_write(options.out) as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    print(json.dumps({key: result[key] for key in ("mean xinfAP by seed", "tests")}, indent=1))


if __name__ == "__main__":
    main()
