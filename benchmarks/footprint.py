"""Effectiveness of models over their speed and their storage, as a picture and a table.

    OMP_NUM_THREADS=1 python benchmarks/footprint.py

Each model of PUBLISHED is made at its real size (CLIP ViT-B/32's, 12 frames, 32 words) with random weights, which speed
and sizes do not depend on. R@1 on MSR-VTT 1k-A is what its authors published. Trained models with figures of your own:

    OMP_NUM_THREADS=1 python benchmarks/footprint.py --name mini --measure "xinfAP, mini collection" \\
        --study benchmarks/results/mini_pixel_models.json \\
        --row "CLIP4Clip meanP" models/meanP-12000-0 "meanP-12000, all topics, forward" \\
        --row CLIP-straight models/clip 0.5

A row is a name, the folder of a trained model (or of a CLIP, which is searched as CLIP-straight is), and a figure: a
number, or a key of "mean xinfAP by seed" in the JSON of --study, whose seeds are averaged.

The footprints are those of `avs info --footprint`, with one thread; speeds are per CPU second, which other work on the
machine disturbs least. Results go to benchmarks/results/footprint_NAME.{json,png}, and the table to docs/footprint.md,
between the comments with NAME.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from search_speed import machine

from avs.core.artifacts import atomic_write
from avs.models.architectures import Tokens, make_config, make_model
from avs.models.clip_backbone import plain_config
from avs.pipeline.footprint import QUERIES, checkpoint_footprint, footprint_to_json, model_footprint
from avs.pipeline.scoring_rate import SECONDS

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "footprint.md"
DRAWN = QUERIES[-1]  # queries at once, whose pairs a second are drawn
SMALLEST, LARGEST = 240, 3000  # circles have this area, in square points, or that, whichever makes them smaller


@dataclass(frozen=True)
class Published:
    """A published figure of a model: R@1, text to video, MSR-VTT 1k-A.

    Attributes:
        source: where this repository has it from.
        note: why it is drawn as a ring; "" if there is no reason.
    """

    name: str
    architecture: str
    options: Mapping[str, Any]
    value: float
    source: str
    note: str = ""


LAFF = {  # of the paper: clip-ft, TimeSformer, X3D-L, irCSN-152; bag of words, word2vec, GRU, clip-ft
    "video": {"clip-ft": 512, "timesformer": 768, "x3d": 2048, "ircsn": 2048},
    "text": {"bow": 7675, "word2vec": 500, "clip-ft": 512},
    "text_tokens": {"gru": Tokens(7675)},
    "no_transform": ("clip-ft",),
}
PUBLISHED = (
    Published("CLIP-straight", "clip4clip", {"head": "meanP"}, 31.2, "docs/retrieval_benchmark.md"),
    Published("CLIP4Clip meanP", "clip4clip", {"head": "meanP"}, 43.1, "configs/train/clip4clip_msrvtt9k.yaml"),
    Published("CLIP4Clip seqTransf", "clip4clip", {"head": "seqTransf"}, 44.5, "configs/train/clip4clip_msrvtt9k.yaml"),
    Published(
        "CLIP4Clip tightTransf", "clip4clip", {"head": "tightTransf"}, 40.2, "configs/train/clip4clip_msrvtt9k.yaml"
    ),
    Published("CLIP2Video", "clip2video", {}, 45.6, "configs/train/clip2video_msrvtt9k.yaml"),
    Published(
        "X-CLIP", "xclip", {}, 49.3, "configs/train/xclip_msrvtt9k.yaml", "of its best backbone, which is not ViT-B/32"
    ),
    Published(
        "TeachCLIP", "teachclip", {}, 46.8, "configs/train/teachclip_msrvtt9k.yaml", "not checked against the paper"
    ),
    Published("LAFF", "laff", LAFF, 42.2, "docs/laff.md"),
)


def published_rows(seconds: float) -> Iterator[dict[str, Any]]:
    from transformers import CLIPConfig

    backbone = plain_config(CLIPConfig())  # its defaults are ViT-B/32
    on_clip = {"backbone": backbone, "text": {"clip-tokens": backbone["text_config"]["vocab_size"]}}
    for one in PUBLISHED:
        config = make_config(one.architecture, {**(on_clip if one.architecture != "laff" else {}), **one.options})
        torch.manual_seed(0)
        model = make_model(one.architecture, config).eval()
        report = model_footprint(one.name, one.architecture, config, model, seconds=seconds)
        yield row_of(one.name, one.value, one.source, footprint_to_json(report), one.note)


def own_rows(given: Sequence[Sequence[str]], study: Path | None, seconds: float) -> Iterator[dict[str, Any]]:
    means = json.loads(study.read_text(encoding="utf-8"))["mean xinfAP by seed"] if study else {}
    unknown = [figure for _, _, figure in given if figure not in means and not is_number(figure)]
    if unknown:
        raise SystemExit(
            f"neither numbers nor keys of {study}: {'; '.join(unknown)}\nkeys: {'; '.join(means) or 'none'}"
        )
    for name, folder, figure in given:
        if figure in means:
            value, source = float(np.mean(list(means[figure].values()))), f"{study and study.name}: {figure}"
        else:
            value, source = float(figure), "given"
        yield row_of(name, value, source, footprint_to_json(folder_footprint(Path(folder), seconds)))


def is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def folder_footprint(folder: Path, seconds: float) -> Any:
    """The footprint of a trained model, or of a CLIP whose frames are averaged."""
    if not (folder / "config.json").is_file():
        return checkpoint_footprint(folder, seconds=seconds)
    from transformers import CLIPModel

    clip = CLIPModel.from_pretrained(folder)
    backbone = plain_config(clip.config)
    config = make_config(
        "clip4clip", {"backbone": backbone, "text": {"clip-tokens": backbone["text_config"]["vocab_size"]}}
    )
    model = make_model("clip4clip", config)
    model.start_from(clip)
    return model_footprint(folder.name, "clip4clip", config, model.eval(), seconds=seconds)


def row_of(name: str, value: float, source: str, footprint: dict[str, Any], note: str = "") -> dict[str, Any]:
    print(f"{name}: {footprint['measured']['pairs_per_s']}", flush=True)
    plain = json.loads(json.dumps(footprint))  # as the file has it
    return {"name": name, "value": round(value, 4), "source": source, "note": note, "footprint": plain}


def table(rows: Sequence[Mapping[str, Any]], measure: str) -> str:
    """The rows as a table of Markdown."""
    once, many = QUERIES
    lines = [
        f"| | {measure} | numbers a shot | bytes a shot, float16 | V3C2, float16 | multiply-adds a pair | "
        f"pairs/s, {once} query | pairs/s, {many} queries | V3C2: s a query, of {many} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = row["footprint"]
        shot, whole = found["shot"], found["V3C2"]
        speeds = [speed(row, queries) for queries in QUERIES]
        cells = [
            row["name"],
            f"{row['value']:g}{' (' + row['note'] + ')' if row['note'] else ''}",
            f"{shot['numbers']:,}",
            f"{shot['bytes']['float16']:,}",
            f"{whole['shot_gib']['float16']:.2f} GiB",
            f"{found['multiply_adds']['pair']:,}",
            *map(three_digits, speeds),
            three_digits(whole["shots"] / speeds[-1]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def speed(row: Mapping[str, Any], queries: int) -> float:
    """Pairs in a CPU second of one core, so that other work on the machine counts little."""
    return float(row["footprint"]["measured"]["pairs_per_s"][str(queries)]["per_cpu_s"])


def three_digits(value: float) -> str:
    """100 -> 100, 12345 -> 12,300, 0.01234 -> 0.0123."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def draw(rows: Sequence[Mapping[str, Any]], measure: str, path: Path) -> None:
    """Circles of effectiveness over pairs a second; the area is that of the bytes a shot. A ring has a note."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    speeds = np.array([speed(row, DRAWN) for row in rows])
    values = np.array([row["value"] for row in rows])
    kept = np.array([row["footprint"]["shot"]["bytes"]["float16"] for row in rows])
    areas = min(SMALLEST / kept.min(), LARGEST / kept.max()) * kept
    colours = [f"C{number}" for number in range(len(rows))]
    filled = [colour if not row["note"] else "white" for row, colour in zip(rows, colours, strict=True)]
    axes.scatter(speeds, values, s=areas, c=filled, edgecolors=colours, alpha=0.75, linewidths=2)
    axes.set_xscale("log")
    low, high = np.log10(speeds.min()), np.log10(speeds.max())
    span = max(high - low, 1.0)
    axes.set_xlim(10 ** (low - 0.2 * span), 10 ** (high + 0.4 * span))
    margin = 0.15 * (values.max() - values.min() or 1)
    axes.set_ylim(values.min() - margin, values.max() + margin)
    axes.set_xlabel(f"pairs of query and shot a second, one core, {DRAWN} queries at once (log scale)")
    axes.set_ylabel(measure)
    axes.grid(alpha=0.3)
    rings = "; ring: see the note in the table" if any(row["note"] for row in rows) else ""
    axes.set_title(f"area of a circle: bytes a shot, in float16{rings}", fontsize=10)
    figure.draw_without_rendering()
    _label(axes, rows, np.column_stack([speeds, values]), np.sqrt(areas) / 2)
    figure.savefig(path, format="png")


def _label(axes: Any, rows: Sequence[Mapping[str, Any]], points: np.ndarray, radii: np.ndarray) -> None:
    """Names below large circles, and at the right of small ones, moved up where they would lie on each other."""
    gap, scale = 13.0, 72 / axes.figure.dpi  # points between lines; pixels to points
    at = axes.transData.transform(points) * scale
    placed: list[tuple[float, float]] = []
    for number in np.argsort(points[:, 1], kind="stable"):
        small = radii[number] < 15
        left = at[number, 0] + (radii[number] + 6 if small else 0)
        height = at[number, 1] - (0 if small else radii[number] + gap / 2)
        for other, below in sorted(placed, key=lambda label: label[1]):
            if abs(other - left) < 150 and abs(height - below) < gap:
                height = below + gap
        placed.append((left, height))
        size = rows[number]["footprint"]["shot"]["bytes"]["float16"] / 1000
        axes.annotate(
            f"{rows[number]['name']}, {size:.3g} KB",
            points[number],
            xytext=(left - at[number, 0], height - at[number, 1]),
            textcoords="offset points",
            ha="left" if small else "center",
            va="center",
            fontsize=9,
        )


def write_table(name: str, text: str) -> None:
    """Put a table between the comments with its name on the page."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- table {name} -->", f"<!-- end {name} -->"
    if begin not in page or end not in page:
        raise SystemExit(f"{PAGE} has no place for the table: write {begin} and {end} there, a line each")
    new = re.sub(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n\n{text}\n\n{end}", page, flags=re.DOTALL
    )
    with atomic_write(PAGE) as file:
        file.write(new)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", nargs=3, action="append", default=[], metavar=("NAME", "FOLDER", "FIGURE"))
    parser.add_argument("--study", type=Path, help="JSON of mini_pixel_models.py, whose keys can be figures")
    parser.add_argument("--measure", default="R@1, MSR-VTT 1k-A, published")
    parser.add_argument("--name", default="published", help="of the results and of the table")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of measuring, for each rate")
    options = parser.parse_args()
    torch.set_num_threads(1)
    given = own_rows(options.row, options.study, options.seconds)
    rows = list(given if options.row else published_rows(options.seconds))
    result = {"measure": options.measure, "machine": {**machine(), "threads": 1}, "rows": rows}
    write_table(options.name, table(rows, options.measure))
    with atomic_write(RESULTS / f"footprint_{options.name}.json") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    draw(rows, options.measure, RESULTS / f"footprint_{options.name}.png")


if __name__ == "__main__":
    main()
