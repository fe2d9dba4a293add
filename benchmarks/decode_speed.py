"""Decoding and sampling of a video, compared with decoding alone on one core; and how it scales over processes.

The clip is seeded (640x360, 25 fps, H.264 with B-frames; by default 5 minutes of 3 s shots). These are timed in turn:
`ffmpeg` and PyAV that decode and discard (the lower bounds); `VideoFolder.read` of every shot at one frame per 0.5 s;
and of every tenth shot, with and without seeking. The ratios use CPU seconds, which other load disturbs least.

    python benchmarks/decode_speed.py --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import av
import numpy as np

from avs.core.shots import Shot
from avs.video.folder import VideoFolder

SHOT_S, FPS, SIZE = 3.0, 25, (360, 640)
RESULTS = Path(__file__).parent / "results" / "decode_speed.json"


def make_clip(path: Path, *, seed: int, shots: int) -> None:
    """Write a clip of textured scenes that pan and flicker a little, at about the bit rate of web video."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "25", "x264-params": "keyint=110:threads=2"}
        for shot in range(shots):
            coarse = rng.integers(0, 255, (SIZE[0] // 20, SIZE[1] // 20, 3), dtype=np.uint8)
            scene = np.kron(coarse, np.ones((20, 20, 1), np.uint8)) // 2 + rng.integers(0, 60, (*SIZE, 3), np.uint8)
            step = rng.integers(-3, 4, 2)
            for n in range(int(SHOT_S * FPS)):
                picture = np.roll(scene, step * n, axis=(0, 1))
                picture[100:180, (4 * n) % 560 : (4 * n) % 560 + 80] = 255 - picture[100:180, :80]
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = shot * int(SHOT_S * FPS) + n, Fraction(1, FPS)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def sample(path: Path, shots: int, every: int = 1) -> int:
    """The number of frames sampled from every `every`-th shot of the clip."""
    table = [Shot(f"shotv_{n + 1}", "v", n * SHOT_S, (n + 1) * SHOT_S) for n in range(0, shots, every)]
    return sum(len(found.data) for found in VideoFolder({"v": path}).read("v", table))


def sample_in_sequence(path: Path, shots: int, every: int) -> int:
    with patch("avs.video.decode.INDEXED_FORMATS", ()):
        return sample(path, shots, every)


def pyav_floor(path: Path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def ffmpeg_floor(path: Path) -> None:
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-an", "-f", "null", "-"]
    subprocess.run(command, check=True)


def timed(task: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, including those of child processes, and wall seconds."""
    before, start = cpu_seconds(), time.perf_counter()
    task()
    return cpu_seconds() - before, time.perf_counter() - start


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def scaling(path: Path, shots: int, repeats: int) -> dict[str, float]:
    """Frames per second of 1 and of 2 processes that read one video each; the best of `repeats`, in turn."""
    best: dict[str, float] = {"1 process": 0.0, "2 processes": 0.0}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(sample, [path] * 4, [2] * 4))  # imports
        for _ in range(repeats):
            for count, name in ((1, "1 process"), (2, "2 processes")):
                start = time.perf_counter()
                frames = sum(pool.map(sample, [path] * count, [shots] * count))
                best[name] = max(best[name], frames / (time.perf_counter() - start))
    return {
        **{name: round(rate, 1) for name, rate in best.items()},
        "gain": round(best["2 processes"] / best["1 process"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--shots", type=int, default=100, help="number of shots of 3 s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        make_clip(path, seed=options.seed, shots=options.shots)
        tasks: dict[str, Callable[[], object]] = {
            "pyav decode only": lambda: pyav_floor(path),
            "avs decode and sample": lambda: sample(path, options.shots),
            "avs every 10th shot": lambda: sample(path, options.shots, 10),
            "avs every 10th shot, in sequence": lambda: sample_in_sequence(path, options.shots, 10),
        }
        if shutil.which("ffmpeg"):
            tasks = {"ffmpeg decode only": lambda: ffmpeg_floor(path), **tasks}
        load = os.getloadavg()[0]
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
        for _ in range(options.repeats):
            for name, task in tasks.items():
                runs[name].append(timed(task))
        frames, size = sample(path, options.shots), path.stat().st_size
        rates = scaling(path, options.shots, options.repeats)
    cpu_s = {
        name: {"min": min(c for c, _ in r), "median": statistics.median(c for c, _ in r)} for name, r in runs.items()
    }
    floor = next(iter(tasks))
    ours, sparse = cpu_s["avs decode and sample"], cpu_s["avs every 10th shot"]
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout if floor[0] == "f" else ""
    result = {
        "clip": {
            "seconds": options.shots * SHOT_S,
            "fps": FPS,
            "size": SIZE,
            "shots": options.shots,
            "mbit_s": round(size * 8e-6 / (options.shots * SHOT_S), 2),
        },
        "frames_sampled": frames,
        "floor": floor,
        "ratio_to_floor": {kind: round(ours[kind] / cpu_s[floor][kind], 3) for kind in ours},
        "ratio_to_pyav_floor": {kind: round(ours[kind] / cpu_s["pyav decode only"][kind], 3) for kind in ours},
        "seeking_to_sequence": {k: round(sparse[k] / cpu_s["avs every 10th shot, in sequence"][k], 3) for k in sparse},
        "frames_decoded_per_cpu_s": round(options.shots * SHOT_S * FPS / ours["min"]),
        "sampled_frames_per_s": rates,
        "cpu_s": {name: {kind: round(value, 3) for kind, value in kinds.items()} for name, kinds in cpu_s.items()},
        "wall_s_min": {name: round(min(wall for _, wall in r), 3) for name, r in runs.items()},
        "repeats": options.repeats,
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "load_at_start": round(load, 2)},
        "versions": {
            "python": platform.python_version(),
            "av": av.__version__,
            "libavcodec of av": ".".join(map(str, av.library_versions["libavcodec"])),
            "ffmpeg": ffmpeg.split("\n")[0],
        },
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
