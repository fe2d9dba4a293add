"""Time of `avs eval` as a whole process, compared with NIST's sample_eval.pl; and of 100 runs in one call.

    python benchmarks/eval_speed.py --perl sample_eval.pl --qrels avs.qrels.main.tv21 --run RUCMM.run

NIST's script is not shipped; give its path. The two are run in turn, so that other load affects both.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "eval_speed.json"
MANY = 100


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--perl", type=Path, required=True, help="NIST's sample_eval.pl")
    parser.add_argument("--qrels", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    avs = [str(Path(sys.executable).parent / "avs"), "eval"]
    perl = ["perl", str(args.perl), "-q", str(args.qrels), str(args.run)]
    one = [*avs, str(args.run), "--qrels", str(args.qrels), "--per-topic"]
    with tempfile.TemporaryDirectory() as folder:
        copies = [str(shutil.copy(args.run, Path(folder) / f"{i}.run")) for i in range(MANY)]
        many = [*avs, *copies, "--qrels", str(args.qrels)]
        commands = {"perl": perl, "avs": one, "python": [sys.executable, "-c", "import numpy"]}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(args.repeats):
            for name, command in commands.items():
                times[name].append(seconds(command))
        many_s = min(seconds(many) for _ in range(3))
    median = {name: statistics.median(values) for name, values in times.items()}
    least = {name: min(values) for name, values in times.items()}
    result = {
        "what": "avs eval of one run of 20 topics x 1000 shots, 124,431 judgments; whole process",
        "median_s": median,
        "min_s": least,
        "avs_over_perl": least["avs"] / least["perl"],
        "hundred_runs_s": many_s,
        "per_run_speedup_of_100_over_perl": least["perl"] / (many_s / MANY),
        "machine": {"processor": processor(), "python": platform.python_version(), "repeats": args.repeats},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
