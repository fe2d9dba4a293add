"""What a frame cache costs: to make, on disk, and to read 12 frames a video from, against decoding the videos.

    python benchmarks/frame_cache_speed.py [-o benchmarks/results/frame_cache_speed.json]

The videos are of MSR-VTT's kind: 320 x 240, 25 frames a second, 15 s, H.264. Each pans over one of the two photographs
that scikit-learn has. One process makes the cache, one or two threads read from it: the best of several rounds, each of
all videos in turn. Bytes a frame depend on what is on the pictures; these are rich in detail.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from avs.core.artifacts import atomic_write
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, write_shot_table
from avs.pipeline.frame_cache import find_shot_videos, make_frame_cache
from avs.train.frame_choice import FrameChoice
from avs.train.frame_column import FrameColumn
from avs.video.find import find_videos
from avs.video.folder import VideoFolder
from avs.video.frame_cache import CacheSettings
from avs.video.sampling import Sampling

VIDEOS, SECONDS, FPS, FRAMES, ROUNDS = 24, 15, 25, 12, 5


def write_videos(folder: Path) -> None:
    """Videos and their shot table, one shot a video."""
    import av
    from sklearn.datasets import load_sample_images

    (folder / "videos").mkdir()
    photographs, draw = load_sample_images().images, np.random.default_rng(0)
    for number in range(VIDEOS):
        photograph = photographs[number % 2]
        (top, left), (bottom, right) = (draw.integers(0, (427 - 240, 640 - 320)) for _ in range(2))
        with av.open(str(folder / f"videos/{number + 1:05d}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for share in np.linspace(0, 1, SECONDS * FPS):
                y, x = round(top + share * (bottom - top)), round(left + share * (right - left))
                window = np.ascontiguousarray(photograph[y : y + 240, x : x + 320])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(window, format="rgb24")))
            container.mux(stream.encode())
    ids = [f"shot{number + 1:05d}_1" for number in range(VIDEOS)]
    write_shot_table(ShotTable(ids, [0.0] * VIDEOS, [float(SECONDS)] * VIDEOS), folder / "shots.tsv")


def seconds_of_videos(folder: Path) -> float:
    """Seconds to decode 12 frames a video from the files, without resizing them."""
    source = VideoFolder(find_videos(folder / "videos"), Sampling("uniform", frames=FRAMES))
    table = [(f"{n + 1:05d}", f"shot{n + 1:05d}_1") for n in range(VIDEOS)]
    shots = ShotTable([shot for _, shot in table], [0.0] * VIDEOS, [float(SECONDS)] * VIDEOS)
    start = time.perf_counter()
    for video, _ in table:
        for frames in source.read(video, shots.of_video(video)):
            assert len(frames.data) == FRAMES
    return time.perf_counter() - start


def seconds_of_cache(column: FrameColumn, epoch: int) -> float:
    """Seconds to read 12 frames of every video from the cache."""
    start = time.perf_counter()
    values, _ = column.take_for(np.arange(VIDEOS), epoch, np.arange(VIDEOS))
    assert values.shape == (VIDEOS, FRAMES, 3, 224, 224)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/frame_cache_speed.json"))
    output = parser.parse_args().output
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_videos(folder)
        start = time.perf_counter()
        found = find_shot_videos(folder / "videos", folder / "shots.tsv")
        cache = make_frame_cache(found, folder / "cache", CacheSettings(), workers=0, reporter=Reporter())
        making_s = time.perf_counter() - start
        choice = FrameChoice(FRAMES, "random")
        best = {"videos": np.inf, "1 thread": np.inf, "2 threads": np.inf}
        for number in range(ROUNDS):
            best["videos"] = min(best["videos"], seconds_of_videos(folder))
            for threads in (1, 2):
                column = FrameColumn(cache, choice, threads=threads)
                key = f"{threads} thread{'s' * (threads > 1)}"
                best[key] = min(best[key], seconds_of_cache(column, number))
        counts = cache.manifest["counts"]
    facts = {
        "what": f"{FRAMES} frames a video of {VIDEOS} videos, 320 x 240, {SECONDS} s of H.264; a cache of 224 pixels",
        "machine": {"cores": os.cpu_count(), "usable_cores": len(os.sched_getaffinity(0)),
                    "load_1_min": round(os.getloadavg()[0], 2)},
        "versions": {p: version(p) for p in ("pillow", "av", "numpy")},
        "bytes_a_frame": round(counts["bytes"] / counts["frames"]),
        "making_frames_per_s_one_process": round(counts["frames"] / making_s, 1),
        "ms_a_video": {name: round(1000 * seconds / VIDEOS, 2) for name, seconds in best.items()},
        "frames_per_s_one_thread": round(FRAMES * VIDEOS / best["1 thread"]),
        "times_faster_than_videos": round(best["videos"] / best["1 thread"], 1),
    }  # fmt: skip
    print(json.dumps(facts, indent=2))
    with atomic_write(output) as file:
        json.dump(facts, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
