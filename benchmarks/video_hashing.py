"""Seconds per GB to hash a video folder, from disk and from the page cache, compared with decoding the same bytes.

    python benchmarks/video_hashing.py --videos avs-demo/collection/videos

Hashing uses as many threads as avs; decoding uses one codec thread.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from search_speed import machine

from avs.video.decode import Video
from avs.video.find import find_videos
from avs.video.fingerprints import THREADS, fingerprint_videos

RESULTS = Path(__file__).parent / "results" / "video_hashing.json"


def forget(videos: Mapping[str, Path]) -> None:
    """Drop the files from the page cache, so that they are read from disk."""
    for path in videos.values():
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def decode(videos: Mapping[str, Path]) -> None:
    """Decode every frame of every video with one codec thread."""
    for path in videos.values():
        with Video(path) as video:
            for _ in video.frames([(0.0, float("inf"))]):
                pass


def seconds(work: object, *arguments: object) -> float:
    start = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    videos = find_videos(arguments.videos)
    gigabytes = sum(path.stat().st_size for path in videos.values()) / 1e9
    rounds = []
    for _ in range(arguments.repeats):
        forget(videos)
        cold = seconds(fingerprint_videos, videos, arguments.videos)
        warm = seconds(fingerprint_videos, videos, arguments.videos)
        rounds.append({"cold": cold, "warm": warm, "decode": seconds(decode, videos)})
    best = {name: min(one[name] for one in rounds) / gigabytes for name in rounds[0]}
    result = {
        "videos": len(videos),
        "gigabytes": round(gigabytes, 4),
        "threads": THREADS,
        "seconds_a_gigabyte": {name: round(value, 3) for name, value in best.items()},
        "cold_hashing_over_decoding": round(best["cold"] / best["decode"], 5),
        "machine": machine(),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
