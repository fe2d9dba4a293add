"""Seconds of a search against the number of shots, from 10 thousand to 1.4 million, with a plot (SVG).

Each size has its own store. Each measurement is a new process; the sizes take turns, and the fastest of each counts.

    python benchmarks/search_scaling.py --repeats 5
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

import numpy as np
from search_speed import DIM, SHOTS, TOPICS, in_fresh_process, machine, make_store

SIZES = (10_000, 100_000, 400_000, 800_000, SHOTS)
RESULTS = Path(__file__).parent / "results" / "search_scaling.json"
CURVE = Path(__file__).parents[1] / "docs" / "search_scaling.svg"


def draw(points: list[dict[str, float]]) -> str:
    """The plot of CPU milliseconds against shots, with its least-squares line, as SVG."""
    shots, took = np.array([[p["shots"], 1e3 * p["cpu_s"]] for p in points]).T
    slope, start = np.polyfit(shots, took, 1)
    right, top = 1.5e6, 100 * np.ceil(took.max() / 80)

    def at(x: float, y: float) -> tuple[float, float]:
        return 70 + 500 * x / right, 270 - 230 * y / top

    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="320" font-family="sans-serif" font-size="13">'
    ]
    parts.append('<rect width="600" height="320" fill="white"/>')
    for x in np.arange(0, right + 1, 250_000):
        parts.append(f'<text x="{at(x, 0)[0]:.0f}" y="290" text-anchor="middle">{x / 1e6:.2f} M</text>')
    for y in np.linspace(0, top, 5):
        (left, height), (end, _) = at(0, y), at(right, y)
        parts.append(f'<path d="M{left:.0f} {height:.0f}H{end:.0f}" stroke="#ddd"/>')
        parts.append(f'<text x="62" y="{height + 4:.0f}" text-anchor="end">{y:.0f}</text>')
    (x0, y0), (x1, y1) = at(0, start), at(shots.max(), start + slope * shots.max())
    parts.append(f'<path d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}" stroke="#888" stroke-dasharray="4"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#0645ad"/>' for x, y in map(at, shots, took)]
    title = f"{TOPICS} topics x N x {DIM} float16, top 1000: CPU ms over shots; {1e6 * slope:.0f} ms a million"
    parts.append(f'<text x="320" y="24" text-anchor="middle">{title}</text><text x="320" y="312">shots</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = {shots: Path(folder, str(shots)) for shots in SIZES}
        for shots, store in stores.items():
            make_store(store, shots)
        rounds = [
            {shots: in_fresh_process("search", store, arguments.threads) for shots, store in stores.items()}
            for _ in range(arguments.repeats)
        ]
    points = [
        {"shots": shots} | {unit: min(r[shots][unit] for r in rounds) for unit in ("wall_s", "cpu_s")}
        for shots in SIZES
    ]
    result = {"topics": TOPICS, "dim": DIM, "threads": arguments.threads, "points": points, "machine": machine()}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    CURVE.write_text(draw(points), encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
