"""What `avs extract-features` adds to the work that nobody can avoid: to decoding, and to the bare model.

Five measures, four with a bar. All can be run alone; a result that is not measured again stays in the file.

- decode-bound: two workers and an encoder that costs nothing, beside two `ffmpeg` that decode and discard at once
  (PyAV in two processes where there is no ffmpeg). Two videos of 20 minutes, 640x360 H.264, as decode_speed.py makes
  them.
- one-long-video: one of them with two workers and with one.
- short-files: a hundred files of 3 s beside one file of 5 minutes, both with two workers.
- end-to-end: processor time beside the sum of decoding, preprocessing and the bare model, each measured apart. CLIP
  ViT-B/32 with random weights on 5 minutes of 640x360; mini-clip on the mini collection.
- three-encoders: three encoders in one pass beside three passes, and beside the gain that the parts allow.

Whatever is compared takes turns within one run. A worker starts by importing torch, which takes seconds once, however
many videos follow; so every figure is given with that start and without it. Without: from the moment in which the first
worker asks for the first frame; and without the CPU seconds until then. CPU seconds are those of all processes. Other
load disturbs them less than wall time.

    python benchmarks/extraction_speed.py decode-bound one-long-video --work /tmp/extraction
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from decode_speed import FPS, SHOT_S, SIZE, cpu_seconds, make_clip, timed
from preview import collection
from search_speed import machine

from avs.core.artifacts import atomic_write
from avs.core.device import let_threads_sleep
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, read_shot_table, write_shot_table
from avs.features import stores
from avs.features.family import Facts, Family, families
from avs.features.preprocess import Geometry, Preprocessing, write_preprocessing
from avs.features.recipe import EncoderRecipe, ExtractionRecipe
from avs.features.units import Units
from avs.pipeline.extract import extract_features
from avs.video.find import find_videos
from avs.video.folder import VideoFolder

RESULTS = Path(__file__).parent / "results" / "extraction_speed.json"
LONG_SHOTS, SHORT_SHOTS, MINI_SHOTS = 400, 100, 600  # of a video of 20 minutes, of one of 5, of the mini collection
BATCH_SIZE = 32
MINI = ("mini-clip", "mini-blip", "mini-blip2")
WANTED = {"decode-bound": 0.9, "one-long-video": 1.8, "end-to-end": 1.10, "three-encoders": 0.92}


class FreeImages(Family):
    """An encoder of 224-pixel images that computes nothing."""

    model_type = "free"

    def __init__(self, folder: Path, *, dtype: Any, pooling: str) -> None:
        import torch

        self.module = torch.nn.Identity()

    @staticmethod
    def facts(folder: Path) -> Facts:
        return Facts(dim=8, image_size=224)

    def images(self, pixels: Any) -> Any:
        import torch

        return torch.ones(len(pixels), 8)


@dataclass(frozen=True)
class ReadingLog:
    """A source of frames that writes who read from it, from when to when, by the clock and in CPU seconds.

    It writes before it gives the last shot: what comes after that, a worker that is ended may not do.
    """

    source: Any
    log: Path

    def read(self, video: str, shots: Sequence[Any]) -> Iterator[Any]:
        begun = (time.time(), time.process_time())
        for number, views in enumerate(self.source.read(video, shots), start=1):
            if number == len(shots):
                row = {"pid": os.getpid(), "begin": begun, "end": (time.time(), time.process_time())}
                with open(self.log, "a", encoding="ascii") as log:
                    log.write(json.dumps(row) + "\n")
            yield views

    def begins_anywhere(self, video: str) -> bool:
        return bool(self.source.begins_anywhere(video))


@dataclass(frozen=True)
class Collection:
    """Videos, their shot table, and what it is called in the results."""

    name: str
    videos: Path
    table: Path

    @property
    def shots(self) -> ShotTable:
        return read_shot_table(self.table)

    @property
    def minutes(self) -> float:
        return float((self.shots.end_s - self.shots.start_s).sum() / 60)


def of_clips(work: Path, seeds: Sequence[int], shots: int) -> Collection:
    """A folder of clips of decode_speed.py; those that are there already are taken."""
    folder = work / f"{len(seeds)}x{shots}"
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        made = work / f"clip{seed}_{shots}.mp4"
        if not made.exists():
            make_clip(made.with_suffix(".part.mp4"), seed=seed, shots=shots)
            made.with_suffix(".part.mp4").rename(made)
        link = folder / "videos" / f"v{seed}.mp4"
        link.unlink(missing_ok=True)
        os.link(made, link)
    starts_s = np.tile(SHOT_S * np.arange(shots), len(seeds))
    ids = [f"shotv{seed}_{n + 1}" for seed in seeds for n in range(shots)]
    write_shot_table(ShotTable(ids, starts_s, starts_s + SHOT_S), folder / "shots.tsv")
    size = sum(path.stat().st_size for path in (folder / "videos").iterdir())
    rate, length = size * 8e-6 / (len(ids) * SHOT_S), f"{len(seeds)} x {shots * SHOT_S / 60:g} minutes"
    name = f"{length}, {SIZE[1]}x{SIZE[0]}, H.264, {rate:.2f} Mbit/s"
    return Collection(name, folder / "videos", folder / "shots.tsv")


def mini_collection(work: Path) -> Collection:
    """The mini collection of seed 0."""
    folder = work / "mini"
    if not (folder / "s0" / "shots.tsv").exists():
        collection(folder, 0)
    return Collection("mini collection, seed 0", folder / "s0" / "videos", folder / "s0" / "shots.tsv")


def free_encoder(work: Path) -> EncoderRecipe:
    """The encoder that computes nothing, and its empty checkpoint."""
    folder = work / "free"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "free"}')
    (folder / "model.safetensors").write_bytes(b"no tensors")
    write_preprocessing(folder, Preprocessing(Geometry(224, 224, "bicubic"), (0.5,) * 3, (0.5,) * 3))
    if "free-images" not in families:
        families.register("free-images")(FreeImages)
    return EncoderRecipe(model="free-images", weights=str(folder))


def clip_b32(work: Path) -> EncoderRecipe:
    """CLIP ViT-B/32 with random weights; its tokenizer is that of mini-clip, which extraction does not use."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from avs.features.weights import locate

    folder = work / "clip-b32"
    if not (folder / "preprocessor_config.json").exists():
        torch.manual_seed(0)
        CLIPModel(CLIPConfig()).save_pretrained(folder)
        for path in locate("package:demo/encoders/clip").glob("tokenizer*"):
            shutil.copyfile(path, folder / path.name)
        write_preprocessing(folder, Preprocessing(Geometry(224, 224, "bicubic"), (0.48,) * 3, (0.27,) * 3))
    return EncoderRecipe(model="clip", weights=str(folder))


def extraction(encoders: Sequence[EncoderRecipe], of: Collection, *, workers: int) -> dict[str, Any]:
    """What one call of extract_features takes; `work` is that without the start and the end of workers.

    Without workers, the start that does not count is that of this process, which hashes the videos and loads weights.
    """
    with tempfile.TemporaryDirectory() as folder, reading_log(Path(folder) / "log") as log:
        recipe = ExtractionRecipe(encoders=list(encoders))
        begun_s, own_cpu_s, cpu_s = time.time(), time.process_time(), cpu_seconds()
        extract_features(
            recipe, of.videos, of.table, Path(folder) / "stores",
            workers=workers, batch_size=BATCH_SIZE, reporter=Reporter(quiet=True),
        )  # fmt: skip
        took = {"wall_s": time.time() - begun_s, "cpu_s": cpu_seconds() - cpu_s}
        rows = [json.loads(line) for line in log.read_text().splitlines()]
    readers = [[row for row in rows if row["pid"] == pid] for pid in sorted({row["pid"] for row in rows})]
    start = {"start_wall_s": min(row["begin"][0] for row in rows) - begun_s}
    start["start_cpu_s"] = sum(mine[0]["begin"][1] for mine in readers) if workers else rows[0]["begin"][1] - own_cpu_s
    busy = [mine[-1]["end"][1] - mine[0]["begin"][1] for mine in readers] if workers else []
    ends = [mine[-1]["end"][0] for mine in readers]
    return {
        **took,
        **start,
        "work_wall_s": took["wall_s"] - start["start_wall_s"],
        "work_cpu_s": took["cpu_s"] - start["start_cpu_s"],
        "workers_cpu_s": busy,
        "videos_or_parts_read": [len(mine) for mine in readers],
        "apart_s": max(ends) - min(ends),
    }


@contextmanager
def reading_log(path: Path) -> Iterator[Path]:
    """All frames that extract_features reads in here, it reads through a ReadingLog that writes into this file."""
    extract = stores.extract

    def logged(shots: ShotTable, source: Any, *rest: Any, **options: Any) -> Any:
        return extract(shots, ReadingLog(source, path), *rest, **options)

    with patch.object(stores, "extract", logged):
        yield path


@contextmanager
def no_normalisation() -> Iterator[None]:
    """An encoder gets the images as they are: the free one is to cost nothing."""
    with patch("avs.features.encoders.Encoder._pixels", lambda encoder, images: images):
        yield


def warm_up(encoders: Sequence[EncoderRecipe], of: Collection) -> None:
    """Extract a few shots, so that no measured call imports anything, and read the videos into the page cache."""
    for path in of.videos.iterdir():
        path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        shots = of.shots
        few = ShotTable(shots.ids[:BATCH_SIZE], shots.start_s[:BATCH_SIZE], shots.end_s[:BATCH_SIZE])
        write_shot_table(few, Path(folder, "few.tsv"))
        extraction(encoders, Collection("", of.videos, Path(folder, "few.tsv")), workers=0)


def floor_commands(of: Collection) -> list[list[str]]:
    """A command for each video that decodes it on one thread and discards the frames."""
    videos = [str(path) for path in sorted(of.videos.iterdir())]
    if shutil.which("ffmpeg"):
        return [["ffmpeg", "-v", "error", "-threads", "1", "-i", video, "-an", "-f", "null", "-"] for video in videos]
    code = "import sys, decode_speed; decode_speed.pyav_floor(sys.argv[1])"
    return [[sys.executable, "-c", code, video] for video in videos]


def run_at_once(commands: Sequence[Sequence[str]]) -> None:
    processes = [subprocess.Popen(command, cwd=Path(__file__).parent) for command in commands]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"decoding alone failed with exit codes {codes}")


def decode_bound(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Two workers beside two processes that only decode."""
    of, encoders = of_clips(work, [0, 1], options.long_shots), [free_encoder(work)]
    commands = floor_commands(of)
    warm_up(encoders, of)
    floors, ours = [], []
    for _ in range(options.repeats):
        cpu_s, wall_s = timed(lambda: run_at_once(commands))
        floors.append({"cpu_s": cpu_s, "wall_s": wall_s})
        with no_normalisation():
            ours.append(extraction(encoders, of, workers=2))
    frames = of.minutes * 60 * FPS
    return {
        "videos": of.name,
        "floor": " ".join(Path(word).name for word in commands[0]),
        "floor_runs": rounded(floors),
        "runs": rounded(ours),
        "video_frames_per_s": {
            "floor": round(frames / median(one["wall_s"] for one in floors)),
            "avs": round(frames / median(one["work_wall_s"] for one in ours)),
            "avs with start": round(frames / median(one["wall_s"] for one in ours)),
        },
        "ratio": ratios(floors, ours),
    }


def ratios(floors: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """How fast ours is as a multiple of the floor's speed, by the wall and by CPU seconds: medians over the turns."""
    turns, found = list(zip(floors, ours, strict=True)), {}
    for kind in ("wall", "cpu"):
        found[kind] = median(floor[f"{kind}_s"] / one[f"work_{kind}_s"] for floor, one in turns)
        found[f"{kind}, with start"] = median(floor[f"{kind}_s"] / one[f"{kind}_s"] for floor, one in turns)
    return {name: round(value, 3) for name, value in found.items()}


def one_long_video(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One video with two workers and with one."""
    of, encoders = of_clips(work, [0], options.long_shots), [free_encoder(work)]
    warm_up(encoders, of)
    with no_normalisation():
        turns = [[extraction(encoders, of, workers=workers) for workers in (1, 2)] for _ in range(options.repeats)]
    busiest = [max(two["workers_cpu_s"]) for _, two in turns]
    gains = ratios([one for one, _ in turns], [two for _, two in turns])
    alone = [one["work_wall_s"] for one, _ in turns]
    together = [two["work_wall_s"] for _, two in turns]
    return {
        "videos": of.name,
        "jobs": Units(of.shots, BATCH_SIZE).jobs,
        "gain": {
            "wall": round(median(a / b for a, b in zip(alone, together, strict=True)), 3),
            "wall, with start": gains["wall, with start"],
            "CPU seconds of one worker to those of the busier of two": round(
                median(one["workers_cpu_s"][0] / most for (one, _), most in zip(turns, busiest, strict=True)), 3
            ),
        },
        "last frames apart_s": [round(two["apart_s"], 2) for _, two in turns],
        "one worker": rounded([one for one, _ in turns]),
        "two workers": rounded([two for _, two in turns]),
    }


def short_files(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """As many shots, each in a file of its own and all in one."""
    encoders = [free_encoder(work)]
    files, one_file = of_clips(work, range(options.short_shots), 1), of_clips(work, [0], options.short_shots)
    warm_up(encoders, files)
    warm_up(encoders, one_file)
    with no_normalisation():
        turns = [[extraction(encoders, of, workers=2) for of in (one_file, files)] for _ in range(options.repeats)]
    return {
        "videos": [files.name, one_file.name],
        "speed of the files as a multiple of one file's": {
            kind: round(median(one[f"work_{kind}_s"] / many[f"work_{kind}_s"] for one, many in turns), 3)
            for kind in ("wall", "cpu")
        },
        "shots_per_s": round(options.short_shots / median(many["work_wall_s"] for _, many in turns)),
        "one file": rounded([one for one, _ in turns]),
        "files": rounded([many for _, many in turns]),
    }


def read_apart(of: Collection, geometries: Sequence[Geometry]) -> tuple[dict[str, float], list[np.ndarray]]:
    """CPU seconds of decoding and of each geometry, measured apart in one pass on one thread; and all images."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    paths = find_videos(of.videos)
    took = {"decode": 0.0, **{name_of(geometry): 0.0 for geometry in geometries}}
    images: list[list[np.ndarray]] = [[] for _ in geometries]
    for video, shots in groupby(of.shots, key=lambda shot: shot.video):
        answers = VideoFolder({video: paths[video]}).read(video, list(shots))
        while True:
            begun = time.process_time()
            frames = next(answers, None)
            took["decode"] += time.process_time() - begun
            if frames is None:
                break
            for geometry, into in zip(geometries, images, strict=True):
                begun = time.process_time()
                into.append(geometry.apply(frames.data))
                took[name_of(geometry)] += time.process_time() - begun
    torch.set_num_threads(threads)
    return took, [np.concatenate(each) for each in images]


def name_of(geometry: Geometry) -> str:
    return f"{geometry.rule} {geometry.size}"


def bare_model(encoder: EncoderRecipe, images: np.ndarray) -> tuple[float, float]:
    """CPU and wall seconds of transformers' CLIPModel on normalised images, in batches."""
    import torch
    from transformers import CLIPModel

    from avs.features.catalog import get_entry
    from avs.features.weights import locate

    model = CLIPModel.from_pretrained(locate(encoder.weights or str(get_entry(encoder.model).weights))).eval()
    batches = [torch.from_numpy(images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)]
    pixels = [batch.float() / 255 - 0.5 for batch in batches]
    with torch.inference_mode():
        model.get_image_features(pixel_values=pixels[0])
        return timed(lambda: [model.get_image_features(pixel_values=one) for one in pixels])


def end_to_end(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Processor time of extraction beside its parts; without workers on one thread, and with two on all cores."""
    cases = {
        "CLIP ViT-B/32": (clip_b32(work), of_clips(work, [0], options.short_shots)),
        "mini-clip": (EncoderRecipe(model="mini-clip"), mini_collection(work)),
    }
    ways = {"in one process": (0, 1), "two workers": (2, os.cpu_count() or 1)}
    found: dict[str, Any] = {}
    for case, (encoder, of) in cases.items():
        found[case] = {"videos": of.name}
        for way, (workers, threads) in ways.items():
            found[case][way] = beside_parts(encoder, of, workers, threads, options.repeats)
    return found


def beside_parts(encoder: EncoderRecipe, of: Collection, workers: int, threads: int, repeats: int) -> dict[str, Any]:
    """Extraction and its parts, in turn. What loading the weights takes is measured without workers."""
    import torch

    from avs.features.embedder import load_embedder

    torch.set_num_threads(threads)
    geometry = load_embedder(encoder.model, weights=encoder.weights).preprocessing.geometry
    warm_up([encoder], of)
    turns, parts, images = [], [], 0
    for _ in range(repeats):
        reading, (pictures,) = read_apart(of, [geometry])
        model_cpu_s, model_wall_s = bare_model(encoder, pictures)
        images = len(pictures)
        parts.append(
            {"decode": reading["decode"], "preprocess": reading[name_of(geometry)], "bare model": model_cpu_s,
             "bare model, wall": model_wall_s}
        )  # fmt: skip
        taken = extraction([encoder], of, workers=workers)
        if workers:  # the start of this process is that of one without workers
            taken["work_cpu_s"] -= loading(encoder, of)
        turns.append(taken)
    sums = [one["decode"] + one["preprocess"] + one["bare model"] for one in parts]
    return {
        "images": images,
        "threads of the model": threads,
        "parts_cpu_s": rounded(parts),
        "runs": rounded(turns),
        "cpu_s over the parts": {
            "ratio": round(median(a["work_cpu_s"] / b for a, b in zip(turns, sums, strict=True)), 3),
            "with start": round(median(a["cpu_s"] / b for a, b in zip(turns, sums, strict=True)), 3),
        },
    }


def loading(encoder: EncoderRecipe, of: Collection) -> float:
    """CPU seconds of this process until the first frame is wanted: hashes of videos and weights, and loading."""
    with tempfile.TemporaryDirectory() as folder:
        shots = of.shots
        last = [next(rows) for _, rows in groupby(range(len(shots)), key=lambda row: shots.videos[row])]
        few = ShotTable([shots.ids[row] for row in last], shots.start_s[last], shots.start_s[last] + 0.1)
        write_shot_table(few, Path(folder, "few.tsv"))
        taken = extraction([encoder], Collection("", of.videos, Path(folder, "few.tsv")), workers=0)
    return float(taken["start_cpu_s"])


def three_encoders(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Three encoders in one pass and in three, in one process on one thread."""
    import torch

    torch.set_num_threads(1)
    collections = [of_clips(work, [0], options.short_shots), mini_collection(work)]
    return {of.name: in_one_pass(of, options.repeats) for of in collections}


def in_one_pass(of: Collection, repeats: int) -> dict[str, Any]:
    """What one pass gains over three, and what its parts would allow: those of every image once, the others thrice."""
    import torch

    from avs.features.embedder import load_embedder

    recipes = [EncoderRecipe(model=name) for name in MINI]
    embedders = [load_embedder(name) for name in MINI]
    geometries = [embedder.preprocessing.geometry for embedder in embedders]
    distinct = list(dict.fromkeys(geometries))
    warm_up(recipes, of)
    rows: list[dict[str, float]] = []
    for _ in range(repeats):
        took, images = read_apart(of, distinct)
        for name, embedder in zip(MINI, embedders, strict=True):
            of_encoder = torch.from_numpy(images[distinct.index(embedder.preprocessing.geometry)])
            took[name] = timed(encoding(embedder, of_encoder))[0]
        alone = sum(took[name_of(geometry)] for geometry in geometries) + sum(took[name] for name in MINI)
        shared = sum(took[name_of(geometry)] for geometry in distinct) + sum(took[name] for name in MINI)
        took["one pass"] = extraction(recipes, of, workers=0)["cpu_s"]
        took["three passes"] = sum(extraction([recipe], of, workers=0)["cpu_s"] for recipe in recipes)
        took["gain"] = took["three passes"] / took["one pass"]
        took["gain that the parts allow"] = (3 * took["decode"] + alone) / (took["decode"] + shared)
        rows.append(took)
    return {
        "shots": len(of.shots),
        "cpu_s": rounded(rows),
        "gain": round(median(row["gain"] for row in rows), 3),
        "gain that the parts allow": round(median(row["gain that the parts allow"] for row in rows), 3),
        "share of it": round(median(row["gain"] / row["gain that the parts allow"] for row in rows), 3),
    }


def encoding(embedder: Any, images: Any) -> Callable[[], object]:
    return lambda: [embedder.encode_images(images[i : i + BATCH_SIZE]) for i in range(0, len(images), BATCH_SIZE)]


def rounded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: np.round(value, 3).tolist() for name, value in row.items()} for row in rows]


def median(values: Iterator[float]) -> float:
    return statistics.median(values)


MEASURES: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "decode-bound": decode_bound,
    "one-long-video": one_long_video,
    "short-files": short_files,
    "end-to-end": end_to_end,
    "three-encoders": three_encoders,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"{', '.join(MEASURES)}; default: all")
    parser.add_argument("--work", type=Path, help="folder for clips and weights, which are used again; default: none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long-shots", type=int, default=LONG_SHOTS, help="of 3 s, of a long clip")
    parser.add_argument("--short-shots", type=int, default=SHORT_SHOTS, help="of 3 s, of a short clip")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if "OMP_WAIT_POLICY" not in os.environ:  # as the command does; here torch is imported already
        let_threads_sleep()
        os.execv(sys.executable, [sys.executable, *sys.argv])
    unknown = sorted(set(options.measures) - set(MEASURES))
    if unknown:
        parser.error(f"no such measure: {', '.join(unknown)}; there are: {', '.join(MEASURES)}")
    with tempfile.TemporaryDirectory() as folder:
        work = (options.work or Path(folder)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        for name in options.measures or MEASURES:
            load = round(os.getloadavg()[0], 2)
            wanted = {"wanted": WANTED[name]} if name in WANTED else {}
            found = {**wanted, **MEASURES[name](work, options), "load_before": load, "machine": machine()}
            print(json.dumps({name: found}, indent=1), flush=True)
            known = json.loads(options.output.read_text()) if options.output.exists() else {}
            results = {**known, name: found}
            with atomic_write(options.output) as file:
                json.dump({key: results[key] for key in MEASURES if key in results}, file, indent=1)
                file.write("\n")


if __name__ == "__main__":
    main()
