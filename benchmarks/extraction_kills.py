"""Extraction that is killed 20 times at random moments, alone and with two processes that race: the bytes are the same.

    python benchmarks/extraction_kills.py --collection avs-demo

The first 200 shots of the demo's mini collection, one encoder, both levels, two decoding workers a process. A process
is killed (SIGKILL, it alone: its workers end by themselves) at a random moment after it has begun its first job. When
the stores are finished before the kill, their bytes are compared with those of a run that nobody disturbed, and they
are begun anew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from search_speed import machine

from avs.core.shots import ShotTable, read_shot_table, write_shot_table

SHOTS, KILLS, LATEST_S = 200, 20, 4.0
FILES = ("vectors.npy", "ids.txt", "problems.tsv", "offsets.npy", "pts_s.npy", "videos.tsv")
RESULTS = Path(__file__).parent / "results" / "extraction_kills.json"


def command(collection: Path, table: Path, output: Path) -> list[str]:
    where = ["--videos", str(collection / "collection/videos"), "--shots", str(table), "-o", f"{output}/"]
    model = ["--model", "mini-clip", "--level", "shot", "--level", "frame", "--batch-size", "8", "--workers", "2"]
    return [sys.executable, "-m", "avs", "extract-features", *where, *model, "--quiet"]


def content(output: Path) -> dict[str, bytes]:
    """The bytes of all finished stores."""
    folders = [output / "mini-clip" / level for level in ("shot", "frame")]
    done = [folder for folder in folders if (folder / "manifest.json").exists()]
    return {
        f"{folder.name}/{name}": (folder / name).read_bytes()
        for folder in done
        for name in FILES
        if (folder / name).exists()
    }


def works(output: Path, process: subprocess.Popen[bytes]) -> bool:
    """Whether a process has begun a job."""
    return any(f"-{process.pid}-" in lease.read_text() for lease in output.glob("mini-clip/*/parts/leases/*"))


def kill_at_random(words: list[str], output: Path, together: int, moments: random.Random) -> tuple[int, list[int]]:
    """The number of processes that were killed, of `together` that were started, and the exit codes of the others."""
    processes = [subprocess.Popen(words) for _ in range(together)]
    killed = 0
    for process in moments.sample(processes, len(processes)):
        with suppress(FileNotFoundError):  # another process has finished the store
            while process.poll() is None and not works(output, process):
                time.sleep(0.02)
        time.sleep(moments.uniform(0, LATEST_S / together))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
    codes = [process.wait() for process in processes]
    return killed, [code for code in codes if code != -signal.SIGKILL]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collection", type=Path, required=True, help="folder of the demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    moments, found = random.Random(options.seed), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = read_shot_table(options.collection / "shots.tsv")
        write_shot_table(ShotTable(whole.ids[:SHOTS], whole.start_s[:SHOTS], whole.end_s[:SHOTS]), folder / "shots.tsv")
        words = command(options.collection, folder / "shots.tsv", folder / "whole")
        subprocess.run(words, check=True)
        wanted = content(folder / "whole")
        for together in (1, 2):
            output = folder / f"by{together}"
            words = command(options.collection, folder / "shots.tsv", output)
            kills = finished = runs = 0
            parts: list[int] = []
            while kills < KILLS:
                killed, codes = kill_at_random(words, output, together, moments)
                kills, runs = kills + killed, runs + together
                parts.append(len(list(output.glob("mini-clip/*/parts/*.part"))))
                assert not any(codes), codes
                now = content(output)
                assert all(wanted[file] == data for file, data in now.items()), "a store was committed with other bytes"
                if len(now) == len(wanted):
                    finished += 1
                    shutil.rmtree(output)
            subprocess.run(words, check=True)
            assert content(output) == wanted
            assert not list(output.glob("*/*/parts")) and not list(output.glob("*/*/.parts*"))
            found[f"{together} at once"] = {
                "processes": runs, "kills": kills, "finished and begun anew": finished, "parts after each": parts,
                "same bytes": True,
            }  # fmt: skip
    result = {"shots": SHOTS, "files compared": len(wanted), **found, "machine": machine()}
    options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2), f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
