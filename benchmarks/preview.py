"""What a preview saves, and what it costs: `--policy keyframes` and `--skip-similar T`.

    python benchmarks/preview.py --videos CLIPS --work /tmp/preview -o benchmarks/results/preview.json

Reading: the frames of shots of 3 s (pieces of the shots that `avs shots` finds) of the real videos in CLIPS, of a
clip of 5 minutes, 640x360, that `decode_speed.py` makes, and of the mini collection with its own shots; one process,
the median of several turns. Ranking: extraction by three small encoders from the mini collection of each seed, and
how the lists of its topics change. Times are CPU seconds, which other load disturbs least. What is already in --work
is used again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
from decode_speed import cpu_name, make_clip, pyav_floor

from avs.core.artifacts import atomic_write
from avs.core.progress import Reporter
from avs.core.shots import Shot, read_shot_table
from avs.demo.collection import CollectionPaths, generate_collection
from avs.features.embedder import load_embedder
from avs.features.recipe import EncoderRecipe, ExtractionRecipe, SamplingRecipe
from avs.pipeline.extract import extract_features
from avs.trecvid.trec import read_trec
from avs.video import key_packets
from avs.video.detect import detect_shots
from avs.video.find import find_videos
from avs.video.folder import VideoFolder
from avs.video.sampling import Sampling

ENCODERS = ("mini-clip", "mini-blip", "mini-blip2")
LEVELS = ("shot", "frame")
THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)
DEPTHS = (10, 100)
PIECE_S = 3.0
RESULTS = Path(__file__).parent / "results" / "preview.json"


def avs(*words: object) -> str:
    command = [sys.executable, "-m", "avs", *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cpu_s(task: Callable[[], object]) -> float:
    key_packets._read.cache_clear()  # no task profits from another
    start = time.process_time()
    task()
    return time.process_time() - start


def pieces(video: str, path: Path) -> list[Shot]:
    """The shots of a video, cut into equal parts of about 3 s, as long as those of V3C."""
    spans_s = []
    for start_s, end_s in detect_shots(path):
        count = max(1, round((end_s - start_s) / PIECE_S))
        edges_s = np.linspace(start_s, end_s, count + 1).round(3).tolist()
        spans_s += list(zip(edges_s, edges_s[1:], strict=False))
    return [Shot(f"shot{video}_{n}", video, a, b) for n, (a, b) in enumerate(spans_s, start=1)]


def read(path: Path, shots: Sequence[Shot], policy: str) -> tuple[int, int]:
    """Number of frames, and of shots that have no key frame."""
    found = list(VideoFolder({shots[0].video: path}, Sampling(policy)).read(shots[0].video, shots))
    return sum(len(frames.data) for frames in found), sum(bool(sum(frames.tally.values())) for frames in found)


def reading(path: Path, shots: Sequence[Shot], turns: int) -> dict[str, float]:
    """CPU seconds to decode a video and to read the frames of its shots: the medians of all turns."""
    tasks: dict[str, Callable[[], object]] = {
        "decode only": lambda: pyav_floor(path),
        "interval": lambda: read(path, shots, "interval"),
        "keyframes": lambda: read(path, shots, "keyframes"),
    }
    seconds = {name: statistics.median(values) for name, values in in_turn(tasks, turns).items()}
    (frames, _), (key_frames, lacking) = read(path, shots, "interval"), read(path, shots, "keyframes")
    minutes = sum(shot.end_s - shot.start_s for shot in shots) / 60
    counts = {"shots": len(shots), "without a key frame": lacking, "frames": frames, "key frames": key_frames}
    return {"minutes": minutes, **counts, **seconds}


def in_turn(tasks: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(turns):
        for name, task in tasks.items():
            seconds[name].append(cpu_s(task))
    return seconds


def together(videos: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The sums over some videos, and how much cheaper key frames are."""
    total = {name: round(sum(one[name] for one in videos.values()), 3) for name in next(iter(videos.values()))}
    return {
        "videos": len(videos),
        **total,
        "interval / keyframes": round(total["interval"] / total["keyframes"], 2),
        "decode only / keyframes": round(total["decode only"] / total["keyframes"], 2),
    }


def reading_of_all(videos: Path, mini: CollectionPaths, table: Path, work: Path, turns: int) -> dict[str, object]:
    """`together` of the real videos, of the clip, and of the mini collection; and the real videos one by one."""
    clip = work / "clip.mp4"
    if not clip.exists():
        make_clip(clip, seed=0, shots=100)
    real = {video: (path, pieces(video, path)) for video, path in find_videos(videos, ids="name").items()}
    paths = find_videos(mini.videos)
    by_video = groupby(read_shot_table(table), key=lambda shot: shot.video)
    ours = {video: (paths[video], list(shots)) for video, shots in by_video}
    groups = {"real videos": real, "clip of decode_speed.py": {"clip": (clip, pieces("clip", clip))}, "mini": ours}
    found = {
        name: {video: reading(path, shots, turns) for video, (path, shots) in group.items()}
        for name, group in groups.items()
    }
    each = {video: together({video: one}) for video, one in found["real videos"].items()}
    return {**{name: together(group) for name, group in found.items()}, "each real video": each}


def collection(work: Path, seed: int) -> tuple[CollectionPaths, Path]:
    folder = work / f"s{seed}"
    made = generate_collection(folder, shots=600, seed=seed, split="test", workers=1)
    table = folder / "shots.tsv"
    avs("shots", "--videos", made.videos, "--msb", made.msb, "-o", table, "--workers", 1, "--quiet")
    return made, table


def extracted(made: CollectionPaths, table: Path, folder: Path, sampling: SamplingRecipe) -> dict[str, float]:
    """Extract all stores; returns CPU seconds and number of frames."""
    recipe = ExtractionRecipe(
        encoders=[EncoderRecipe(model=name) for name in ENCODERS], levels=list(LEVELS), sampling=sampling
    )
    stores = []

    def extract() -> None:
        stores.extend(
            extract_features(recipe, made.videos, table, folder, workers=0, force=True, reporter=Reporter(quiet=True))
        )

    seconds = cpu_s(extract)
    return {"frames": next(len(store.vectors) for store in stores if store.level == "frame"), "cpu_s": seconds}


def ranked(made: CollectionPaths, folder: Path) -> tuple[dict[str, float], dict[str, dict[str, list[str]]]]:
    """Mean xinfAP of each store, and its lists by topic."""
    stores = [folder / name / level for name in ENCODERS for level in LEVELS]
    lists = folder / "lists"
    flags = [word for store in stores for word in ("--store", store)]
    avs("search", "--topics", made.topics, *flags, "-o", f"{lists}/", "--quiet")
    paths = sorted(lists.glob("*.trec"))
    scores = json.loads(avs("eval", *paths, "--qrels", made.qrels, "--measures", "infAP", "--json"))
    means = {
        path.stem: float(np.mean([row["infAP"] for row in run["topics"].values()]))
        for path, run in zip(paths, scores["runs"], strict=True)
    }
    found = {}
    for path in paths:
        run = read_trec(path)
        found[path.stem] = {topic: list(ranking.shots) for topic, ranking in run.lists.items()}
    return means, found


def overlap(one: Mapping[str, list[str]], other: Mapping[str, list[str]], depth: int) -> float:
    """The mean share of the first `depth` shots of a topic that two lists have in common."""
    return float(np.mean([len({*one[topic][:depth]} & {*other[topic][:depth]}) / depth for topic in other]))


def ranking(work: Path, seed: int) -> dict[str, dict[str, object]]:
    """By variant: frames, CPU seconds, xinfAP of each list, and how much it shares with that of the default."""
    made, table = collection(work, seed)
    variants = {"interval": SamplingRecipe(), "keyframes": SamplingRecipe(policy="keyframes")}
    variants |= {f"skip-similar {t:g}": SamplingRecipe(skip_similar=t) for t in THRESHOLDS}
    for name in ENCODERS:
        load_embedder(name)  # the first import is not timed
    results: dict[str, dict[str, object]] = {}
    default: dict[str, dict[str, list[str]]] = {}
    for name, sampling in variants.items():
        folder = work / f"s{seed}" / name.replace(" ", "-")
        known = folder / "cost.json"
        if not known.exists():
            cost = extracted(made, table, folder, sampling)
            known.write_text(json.dumps(cost))
        means, lists = ranked(made, folder)
        default = default or lists
        shared = {
            str(depth): {stem: round(overlap(lists[stem], default[stem], depth), 4) for stem in lists}
            for depth in DEPTHS
        }
        xinfap = {stem: round(mean, 4) for stem, mean in means.items()}
        results[name] = {**json.loads(known.read_text()), "xinfAP": xinfap, "overlap": shared}
        print(seed, name, json.dumps(results[name]), flush=True)
    return results


def summary(found: Mapping[str, Mapping[str, dict[str, object]]]) -> dict[str, object]:
    """Means over the seeds: shares of frames and seconds, and change of xinfAP and overlap by level."""
    rows: dict[str, object] = {}
    for name in next(iter(found.values())):
        cases = [(by[name], by["interval"]) for by in found.values()]
        row: dict[str, object] = {
            f"share of {what}": round(float(np.mean([one[what] / base[what] for one, base in cases])), 3)  # type: ignore[operator]
            for what in ("frames", "cpu_s")
        }
        for level in LEVELS:
            stems = [stem for stem in cases[0][0]["xinfAP"] if stem.endswith(level)]  # type: ignore[attr-defined]
            changes = [one["xinfAP"][stem] - base["xinfAP"][stem] for one, base in cases for stem in stems]  # type: ignore[index]
            row[f"xinfAP, {level} level"] = round(
                float(np.mean([one["xinfAP"][stem] for one, _ in cases for stem in stems])),  # type: ignore[index]
                4,
            )
            row[f"change, {level} level"] = [round(float(value), 4) for value in (np.mean(changes), min(changes))]
            for depth in DEPTHS:
                shared = [one["overlap"][str(depth)][stem] for one, _ in cases for stem in stems]  # type: ignore[index]
                row[f"top {depth} shared, {level} level"] = round(float(np.mean(shared)), 3)
        rows[name] = row
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder of real videos")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, action="append", help="of the mini collection; repeatable")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    seeds = options.seed or [0]
    mini, shots = collection(options.work, seeds[0])
    read = reading_of_all(options.videos, mini, shots, options.work, options.turns)
    print(json.dumps(read, indent=1), flush=True)
    found = {str(seed): ranking(options.work, seed) for seed in seeds}
    result = {
        "versions": {name: version(name) for name in ("avs", "av", "torch", "numpy", "pillow")},
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "load_at_start": round(load, 2)},
        "reading": read,
        "ranking": summary(found),
        "by_seed": found,
    }
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(json.dumps(result["ranking"], indent=1))


if __name__ == "__main__":
    main()
