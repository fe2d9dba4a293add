"""Questions in time, `a < b`: a shot like a, and after it in its video one like b. Exact, over all shots.

    total_P(i) = z_P(i),    total_p(i) = z_p(i) + max over j in W(i) of total_(p+1)(j)

z_p are the scores of part p, standardised over the collection. W(i) are the later shots j > i of the same video whose
start is at most `within_s` after the end of i. A shot without any such j is not in the list. The maximum over the
windows of all shots is taken at once: that of a window of length L is the larger of two windows of 2^floor(log2 L)
shots, which are made by doubling. So a window of any length costs O(shots x log L), and no shot is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.serve.opened.shot_columns import ShotColumns

FLAT = 1e-7  # deviation of scores that are all the same but for rounding


def standardised(scores: np.ndarray) -> np.ndarray:
    """(P, N) float32 scores of mean 0 and standard deviation 1 in each row; NaN, a missing score, stays.

    A row of equal scores becomes 0.
    """
    values = np.empty_like(scores, dtype=np.float32)
    for row, into in zip(scores, values, strict=True):
        known = np.isfinite(row)
        there = row if known.all() else row[known]
        mean = there.mean(dtype=np.float64) if len(there) else 0.0
        np.subtract(row, np.float32(mean), out=into)
        centred = into if known.all() else into[known]
        deviation = float(np.sqrt(np.dot(centred, centred) / max(len(centred), 1)))
        into *= 0.0 if deviation <= FLAT else np.float32(1 / deviation)
    return values


def mean_of_systems(systems: Sequence[np.ndarray]) -> np.ndarray:
    """(P, N) mean of the standardised scores of the systems that have one; NaN where none has."""
    if len(systems) == 1:
        return systems[0]
    known = [np.isfinite(scores) for scores in systems]
    count = np.sum(known, axis=0)
    total = np.sum([np.where(k, scores, 0.0) for k, scores in zip(known, systems, strict=True)], axis=0)
    means: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return means


class Windows:
    """The later shots of each shot's video that start soon enough after it ends.

    Args:
        columns: N shots, with times.
        within_s: seconds from the end of a shot to the start of the next.

    Attributes:
        stop: (N,) int64; the window of row i is the rows i + 1 to stop[i], without stop[i], of the videos in which
            shots start in the order of their rows.
        others: rows of the other videos, as ranges, whose windows are looked through one by one; odd: (N,) of these.
    """

    def __init__(self, columns: ShotColumns, within_s: float) -> None:
        assert columns.start_s is not None and columns.end_s is not None
        self.start_s = np.asarray(columns.start_s)
        self.latest_s = np.asarray(columns.end_s) + within_s
        first, count = columns.first, len(columns)
        back = np.flatnonzero(np.diff(self.start_s) < 0) + 1  # a start before that of the row above
        back = back[~np.isin(back, first)]
        self.odd = np.zeros(count, dtype=bool)
        numbers = np.unique(columns.video_numbers(back)) if len(back) else np.empty(0, dtype=np.int64)
        self.others = [range(int(first[v]), int(first[v + 1])) for v in numbers.tolist()]
        video = np.repeat(np.arange(len(first) - 1), np.diff(first))
        self.stop = self._stops(video, first, count)
        for rows in self.others:
            self.stop[rows.start : rows.stop] = 0
            self.odd[rows.start : rows.stop] = True

    def _stops(self, video: np.ndarray, first: np.ndarray, count: int) -> np.ndarray:
        """(N,) the first row after each window, in videos whose shots start in order.

        One search over all videos: their times are laid end to end, a gap apart.
        """
        spans = np.maximum.reduceat(self.start_s, first[:-1])  # the latest start of each video
        shift = np.concatenate([[0.0], np.cumsum(spans + 1.0)[:-1]])[video]
        limits = self.latest_s + shift  # a window that leads into the next video is cut at its end
        stops = np.searchsorted(self.start_s + shift, limits, side="right")
        inside: np.ndarray = np.clip(stops, np.arange(count) + 1, first[1:][video])
        return inside

    def best_after(self, totals: np.ndarray) -> np.ndarray:
        """(N,) largest of (N,) totals in the window of each row; -inf of an empty window. NaN never counts."""
        values = np.where(np.isnan(totals), -np.inf, totals)
        best = np.full(len(values), -np.inf, dtype=values.dtype)
        rows = np.arange(len(values))
        lengths = np.maximum(self.stop - rows - 1, 0)
        table, width = values, 1  # the maximum of `width` rows from each row on
        while True:
            these = np.flatnonzero((lengths >= width) & (lengths < 2 * width))
            if len(these):
                best[these] = np.maximum(table[these + 1], table[self.stop[these] - width])
            if not (lengths >= 2 * width).any():
                break
            table = np.concatenate([np.maximum(table[:-width], table[width:]), table[-width:]])
            width *= 2
        for video in self.others:
            for row in video:
                later = self.after(row)
                best[row] = values[later].max(initial=-np.inf)
        return best

    def after(self, row: int) -> np.ndarray:
        """(W,) rows of the window of a row."""
        if self.odd[row]:
            video = next(rows for rows in self.others if row in rows)
            later = np.arange(row + 1, video.stop)
            soon: np.ndarray = later[self.start_s[later] <= self.latest_s[row]]
            return soon
        return np.arange(row + 1, max(int(self.stop[row]), row + 1))


def chain(scores: np.ndarray, windows: Windows) -> list[np.ndarray]:
    """P arrays of (N,) totals, of the parts from the first, the second ... on; -inf where there is no such chain.

    Args:
        scores: (P, N) standardised scores; NaN where there is none.
    """
    totals = [scores[-1]]
    for part in scores[-2::-1]:
        totals.append(part + windows.best_after(totals[-1]))
    clean = [np.where(np.isnan(total), -np.inf, total) for total in totals]
    return clean[::-1]


def follow(totals: Sequence[np.ndarray], windows: Windows, row: int) -> list[int]:
    """The row of every part of the best chain from a row of the first part; of equal ones the earliest shot."""
    rows = [row]
    for total in totals[1:]:
        later = windows.after(rows[-1])
        rows.append(int(later[int(np.argmax(total[later]))]))
    return rows
