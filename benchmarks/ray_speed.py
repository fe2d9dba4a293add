"""Extraction by a Ray cluster of two nodes on this machine, beside two plain processes that share the same store.

Two commands without Ray are started at once, each with a worker. Then one command with `--cluster ray` uses two nodes,
with an actor and a worker on each. They take turns. Wall time is that of the commands from start to end, with every
import: seconds once, where an extraction takes hours. So the rate from the first job to the last is given too, as
extraction.json tells it. Other load only slows down: the fastest run of each way counts, and all are kept. The nodes
are up before, as those of a cluster are. Each way the store must have the same bytes.

    python benchmarks/ray_speed.py --repeats 3
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decode_speed import SHOT_S, make_clip
from search_speed import machine

from avs.core.artifacts import atomic_write
from avs.core.shots import ShotTable, write_shot_table

RESULTS = Path(__file__).parent / "results" / "ray_speed.json"
CPUS, STORE_BYTES = 2, 100 * 2**20  # of a node
FAIR = {"worker_niceness": 0}  # Ray would give way to all other work of the machine, which plain processes do not
WANTED = 0.9


def make_collection(folder: Path, *, videos: int, shots: int) -> list[str]:
    """Options of a collection of copies of one clip, and of its encoder."""
    (folder / "videos").mkdir(parents=True)
    make_clip(folder / "videos/00001.mp4", seed=0, shots=shots)
    names = [f"{number:05d}" for number in range(1, videos + 1)]
    for name in names[1:]:
        os.link(folder / "videos/00001.mp4", folder / f"videos/{name}.mp4")
    ids = [f"shot{name}_{shot}" for name in names for shot in range(1, shots + 1)]
    starts = [SHOT_S * shot for _ in names for shot in range(shots)]
    write_shot_table(ShotTable(ids, starts, [start + SHOT_S for start in starts]), folder / "shots.tsv")
    places = ["--videos", str(folder / "videos"), "--shots", str(folder / "shots.tsv")]
    return [*places, "--model", "mini-clip", "--workers", "1", "--quiet"]


def wall_s(options: list[str], out: Path, env: Mapping[str, str], commands: int) -> float:
    """Seconds until all of some equal commands have ended."""
    shutil.rmtree(out, ignore_errors=True)
    words = [sys.executable, "-m", "avs", "extract-features", *options, "-o", str(out)]
    start = time.perf_counter()
    begun = [subprocess.Popen(words, env={**os.environ, **env}) for _ in range(commands)]
    try:
        codes = [process.wait() for process in begun]
    finally:
        for process in begun:
            process.terminate()
    if any(codes):
        raise SystemExit(f"a command ended with {codes}")
    return time.perf_counter() - start


def rate(store: Path) -> float:
    """Shots per second, from the first job to the last."""
    return float(json.loads((store / "extraction.json").read_text())["shots_per_s"])


def measure(folder: Path, options: list[str], repeats: int) -> dict[str, Any]:
    """Seconds each way, and whether the stores are the same."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": CPUS, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False, "_system_config": FAIR})
    try:
        cluster.add_node(**node)
        cluster.wait_for_nodes()
        env = {"RAY_ADDRESS": cluster.address}
        seconds: dict[str, list[float]] = {"plain": [], "ray": []}
        rates: dict[str, list[float]] = {"plain": [], "ray": []}
        for _ in range(repeats):
            seconds["plain"].append(wall_s(options, folder / "plain", {}, 2))
            seconds["ray"].append(wall_s([*options, "--cluster", "ray"], folder / "ray", env, 1))
            for way, found in rates.items():
                found.append(rate(folder / way / "mini-clip/shot"))
            print(f"plain {seconds['plain'][-1]:.1f} s, ray {seconds['ray'][-1]:.1f} s", file=sys.stderr, flush=True)
    finally:
        cluster.shutdown()
    stores = [(folder / way / "mini-clip/shot/vectors.npy").read_bytes() for way in ("plain", "ray")]
    of_each = json.loads((folder / "ray/mini-clip/shot/extraction.json").read_text())["processes"]
    return {
        "plain_s": [round(one, 2) for one in seconds["plain"]],
        "ray_s": [round(one, 2) for one in seconds["ray"]],
        "plain_shots_per_s": [round(one, 2) for one in rates["plain"]],
        "ray_shots_per_s": [round(one, 2) for one in rates["ray"]],
        "with_start_ray_over_plain": round(min(seconds["plain"]) / min(seconds["ray"]), 3),
        "without_start_ray_over_plain": round(max(rates["ray"]) / max(rates["plain"]), 3),
        "shots_of_each_actor": [one["shots"] for one in of_each],
        "same_bytes": stores[0] == stores[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--shots", type=int, default=60, help="of each video")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="avs-ray-") as work:
        options = make_collection(Path(work) / "made", videos=arguments.videos, shots=arguments.shots)
        about = {"videos": arguments.videos, "shots_of_each": arguments.shots, "machine": machine(), "wanted": WANTED}
        result = {**about, **measure(Path(work), options, arguments.repeats)}
    with atomic_write(arguments.output) as file:
        file.write(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
