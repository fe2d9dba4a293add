"""The plots of the fusion report, as SVG inside a page: text is text, and the colours are those of the page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from avs.fusion.learned import LearnedTable
from avs.pipeline.fuse.report import MEASURE, topic_rows
from avs.pipeline.fuse.study import FusionStudy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The page replaces these colours by its own, which differ for light and for dark: #010101 becomes var(--ink).
INK, MUTED, GRID = "#010101", "#010102", "#010103"
KINDS = {"list": "#010104", "unlearned": "#010105", "average": "#010106", "subset": "#010107", "learned": "#010108"}
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid"} | {colour: kind for kind, colour in KINDS.items()}
WIDTH_IN = 9.0
ROW_IN = 0.21  # height of a name in 8 points, with space around it
LONGEST = 34  # characters of a name beside a plot
LEAST_SPAN = 0.02  # smallest range of the measure on the axis of the learning curve
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # the name of a list may be a$b$c
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "ytick.left": False,
    "legend.frameon": False,
}


def systems_plot(study: FusionStudy) -> str:
    """The mean of every system, the best on top, and a line at the average."""
    ranked = sorted(study.systems, key=lambda system: system.mean)
    average = study.system("average").mean

    def draw(axes: Axes) -> None:
        for row, system in enumerate(ranked):
            axes.plot([average, system.mean], [row, row], color=KINDS[system.kind], linewidth=1.5, alpha=0.5)
            axes.plot(system.mean, row, "o", color=KINDS[system.kind], markersize=6)
            axes.text(1.01, row, f"{system.mean:.4f}", transform=axes.get_yaxis_transform(), va="center")
        axes.axvline(average, color=KINDS["average"], linestyle="--", linewidth=1)
        _names(axes, [system.name for system in ranked])
        axes.set(xlabel=f"mean {MEASURE} over {len(study.topics)} topics (the axis does not start at 0)")
        handles = [axes.plot([], [], "o", color=KINDS[kind])[0] for kind in KINDS]
        labels = ["single list", "unlearned", "average", "best subset", study.method]
        axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=5, handletextpad=0.2)

    label = f"Mean {MEASURE} of {len(ranked)} systems, from {ranked[-1].name} {ranked[-1].mean:.4f} down to " + (
        f"{ranked[0].name} {ranked[0].mean:.4f}."
    )
    return _svg(label, draw, height_in=0.9 + ROW_IN * len(ranked))


def topics_plot(study: FusionStudy) -> str:
    """Learned minus average for every topic, sorted."""
    rows = sorted(topic_rows(study), key=lambda row: -row.difference)
    differences = np.array([row.difference for row in rows])
    mean = float(differences.mean())

    def draw(axes: Axes) -> None:
        colours = [KINDS["learned"] if d > 0 else KINDS["average"] for d in differences]
        axes.bar(np.arange(len(rows)), differences, color=colours, width=0.75)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.axhline(mean, color=INK, linestyle="--", linewidth=1, label=f"mean {mean:+.4f}")
        step = -(-len(rows) // 100)
        axes.set_xticks(np.arange(0, len(rows), step), [row.topic for row in rows[::step]], rotation=90)
        axes.tick_params(axis="x", labelsize=8 if len(rows) <= 60 else 6)
        axes.grid(axis="x", visible=False)
        axes.set(xlabel="topic", ylabel=f"{MEASURE}, {study.method} − average", xlim=(-0.7, len(rows) - 0.3))
        axes.legend(loc="upper right")

    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    label = (
        f"{study.method} minus average on {len(rows)} topics: better on {better}, worse on {worse}, mean {mean:+.4f}."
    )
    return _svg(label, draw, height_in=3.4)


def learned_plot(table: LearnedTable) -> str:
    """The mean over the folds and the range of every weight or importance."""
    rows = table.rows()[::-1]
    final = table.final or {}

    def draw(axes: Axes) -> None:
        for at, row in enumerate(rows):
            axes.plot([row.least, row.most], [at, at], color=KINDS["learned"], linewidth=3, alpha=0.35)
        means = [row.mean for row in rows]
        axes.plot(means, np.arange(len(rows)), "o", color=KINDS["learned"], label="mean over folds (bar: range)")
        if final:
            values = [final.get(row.name, 0.0) for row in rows]
            axes.plot(values, np.arange(len(rows)), "D", color=INK, fillstyle="none", label="fitted on all topics")
        if table.like.equal:
            axes.axvline(1 / len(rows), color=KINDS["average"], linestyle="--", label=table.like.equal)
        _names(axes, [row.name for row in rows])
        axes.set(xlabel=table.like.axis)
        axes.set_xlim(left=-0.01)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)

    top = ", ".join(f"{row.name} {row.mean:.3f}" for row in table.rows()[:3])
    label = f"{table.title}, mean over {len(table.by_fold)} folds with range; the largest: {top}."
    return _svg(label, draw, height_in=0.9 + ROW_IN * len(rows))


def subset_plot(study: FusionStudy) -> str:
    """The mean measure of the average of the first 1, 2, ... lists selected."""
    selection, means = study.subset.selection, study.subset.means
    sizes = np.arange(1, len(means) + 1)
    best = len(selection.lists)

    def draw(axes: Axes) -> None:
        axes.plot(sizes, selection.means, ".--", color=MUTED, label="in sample: selected on the same topics")
        axes.plot(sizes, means, "o-", color=KINDS["subset"], markersize=4, label="out of fold: selected without them")
        at = (best, selection.means[best - 1])
        axes.plot(*at, "o", color=INK, fillstyle="none", markersize=10, label=f"best in sample: {best} lists")
        axes.axhline(study.system("average").mean, color=KINDS["average"], linestyle="--", label="average of all")
        axes.set(xlabel="number of lists averaged", ylabel=f"mean {MEASURE}")
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, columnspacing=1)

    label = (
        f"Mean {MEASURE} by the number of lists averaged: in sample best with {best}, {selection.means[best - 1]:.4f}; "
        f"out of fold {means[best - 1]:.4f} with as many, and {means[-1]:.4f} with all {len(means)}."
    )
    return _svg(label, draw, height_in=3.4)


def curve_plot(study: FusionStudy) -> str:
    """The mean measure of the learned method by the number of topics it learned from."""
    points, average = study.curve, study.system("average").mean

    def draw(axes: Axes) -> None:
        topics = [point.topics for point in points]
        for point in points:
            axes.plot([point.topics] * len(point.means), point.means, "o", color=KINDS["learned"], alpha=0.35)
        axes.plot(topics, [point.mean for point in points], "o-", color=KINDS["learned"], label=f"{study.method}, mean")
        axes.plot([], [], "o", color=KINDS["learned"], alpha=0.35, label="one draw of topics")
        axes.axhline(average, color=KINDS["average"], linestyle="--", label="average, which learns nothing")
        axes.set(xlabel="number of topics learned from", ylabel=f"mean {MEASURE}, same held-out topics")
        low, high = axes.get_ylim()
        margin = max(0.0, LEAST_SPAN - (high - low)) / 2  # so that noise does not look like a trend
        axes.set_ylim(low - margin, high + margin)
        axes.set_xticks(topics, [f"{number:g}" for number in np.round(topics, 1)])
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)

    steps = ", ".join(f"{point.mean:.4f} from {point.topics:g}" for point in points)
    return _svg(f"{study.method} by topics learned from: {steps}; average {average:.4f}.", draw, height_in=3.4)


def _names(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(np.arange(len(names)), [_short(name) for name in names])
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.grid(axis="y", alpha=0.5)


def _short(name: str) -> str:
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[-half + 1 :]}"


def _svg(label: str, draw: Callable[[Axes], None], *, height_in: float) -> str:
    """The plot that `draw` draws; `label` describes it to readers who do not see it."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with matplotlib.rc_context(SETTINGS | {"svg.hashsalt": label}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the browser has fonts for them
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        figure.savefig(buffer, format="svg", transparent=True)
    return _inline(buffer.getvalue(), label)


def _inline(svg: str, label: str) -> str:
    """An SVG file as an element of a page: without header, without ids that two plots share, in the page's colours."""
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="([^"]*)"', body)
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="[^"]*"', "<g", body).replace("xlink:href", "href")
    body = re.sub("|".join(VARIABLES), lambda match: f"var(--{VARIABLES[match.group()]})", body)
    return f'<svg role="img" aria-label="{escape(label)}" viewBox="{view and view.group(1)}">{body}'
