"""The ranks of captions over the length of their videos, as figure 1 of CLIP-straight shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avs.core.artifacts import Manifest, write_artefact
from avs.core.errors import ConfigError, Problems, UnknownIdError
from avs.core.features import Features
from avs.core.shots import ShotTable
from avs.core.store import FeatureStore
from avs.metrics.text_to_video import Ranking
from avs.pipeline.train.collections import positions
from avs.video.find import video_id

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4  # of panels, at most
GROUPS = 10  # of equally many captions, whose median ranks are joined by a line
PANEL_IN = (4.2, 3.2)


def require_png(path: Path) -> None:
    """Check the name of the file to draw to.

    Raises:
        ConfigError: it is no PNG.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError("the plot is a PNG", got=f"--plot {path}", wanted="a name that ends in .png")


def video_lengths_s(videos: Sequence[str], shots: ShotTable | None, stores: Sequence[Features]) -> np.ndarray:
    """(V,) lengths of videos in seconds.

    Args:
        videos: ids of shots, or of videos that are one shot, or of videos that end with their last shot.
        shots: the shot table; None: the length is the time from the first frame to the last in a frame-level store.
        stores: that are searched.

    Raises:
        ConfigError: there is no shot table, and no store that knows the times of its frames.
        UnknownIdError: videos that are not in the table, or in the store; all of them at once.
    """
    problems = Problems("videos without a length")
    timed = next((store for store in stores if isinstance(store, FeatureStore) and store.pts_s is not None), None)
    if shots is not None:
        ends_s = {shot.video: shot.end_s for shot in sorted(shots, key=lambda shot: shot.end_s)}
        lengths = [_length_in(shots, ends_s, video, problems) for video in videos]
    elif timed is not None and timed.offsets is not None and timed.pts_s is not None:
        places = positions(timed, videos)
        for video, place in zip(videos, places.tolist(), strict=True):
            if place < 0:
                problems.add(video, f"not in {timed.folder}")
        known = places[places >= 0]
        lengths = (timed.pts_s[timed.offsets[known + 1] - 1] - timed.pts_s[timed.offsets[known]]).tolist()
    else:
        raise ConfigError(
            "--plot needs the lengths of the videos",
            got="shot-level features, which do not have them",
            next_step="give the shot table of the videos with --shots, or a frame-level store",
        )
    problems.raise_if_any(UnknownIdError, next_step="give the shot table of these videos with --shots")
    return np.array(lengths)


def _length_in(shots: ShotTable, ends_s: Mapping[str, float], video: str, problems: Problems) -> float:
    if video in shots:
        shot = shots.get(video)
        return shot.end_s - shot.start_s
    if video_id(video) not in ends_s:
        problems.add(video, "not in the shot table")
    return ends_s.get(video_id(video), 0.0)


def write_rank_plot(path: Path, figure: Figure, manifest: Manifest) -> None:
    """Write a figure as PNG, with its manifest beside it."""
    write_artefact(path, manifest, lambda target: figure.savefig(target, format="png"))


def draw_ranks(rankings: Mapping[str, Ranking], video_of: np.ndarray, lengths_s: np.ndarray) -> Figure:
    """A panel for every system: a dot per caption, and the median rank of groups of like length. Rank 1 is on top.

    Args:
        rankings: name of a system -> its ranking, text to video.
        video_of: (T,) the video of each caption.
        lengths_s: (V,) of the videos.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(rankings))
    rows = ceil(len(rankings) / columns)
    size = (PANEL_IN[0] * columns + 0.6, PANEL_IN[1] * rows + 0.6)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for panel, (name, ranking) in zip(panels.flat, rankings.items(), strict=False):
        _draw(panel, name, lengths_s[video_of[ranking.queries]], ranking.ranks)
    for panel in panels.flat[len(rankings) :]:
        panel.set_axis_off()
    last = max(int(ranking.ranks.max()) for ranking in rankings.values())
    first_panel = panels[0, 0]
    first_panel.set_yscale("log")
    first_panel.yaxis.set_major_formatter("{x:g}")
    first_panel.set_ylim(1.3 * last, 0.8)  # the panels share it
    figure.supxlabel("length of the video (s)", fontsize=10)
    figure.supylabel("rank of the caption's video", fontsize=10)
    figure.legend(*first_panel.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _draw(panel: Axes, name: str, lengths_s: np.ndarray, ranks: np.ndarray) -> None:
    panel.plot(lengths_s, ranks, ".", markersize=5, alpha=0.3, color="tab:blue", markeredgewidth=0, label="caption")
    groups = [part for part in np.array_split(np.argsort(lengths_s, kind="stable"), GROUPS) if len(part)]
    middles = [float(np.median(lengths_s[part])) for part in groups]
    medians = [float(np.median(ranks[part])) for part in groups]
    panel.plot(middles, medians, color="tab:red", marker=".", label="median of each tenth of the captions")
    panel.set_title(f"{name}{_correlation(lengths_s, ranks)}", fontsize=9)


def _correlation(lengths_s: np.ndarray, ranks: np.ndarray) -> str:
    """Spearman's correlation as a part of a title; nothing where all lengths or all ranks are equal."""
    from scipy.stats import spearmanr

    if len(np.unique(lengths_s)) < 2 or len(np.unique(ranks)) < 2:
        return ""
    rho = round(float(spearmanr(lengths_s, ranks).statistic), 2) + 0.0  # no "-0.00"
    return f" (Spearman {rho:.2f})"
