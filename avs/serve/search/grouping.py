"""Lists as they are shown: near duplicates behind the first of them, videos as rows. No shot is ever dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.reranking.vectors import shot_vectors
from avs.serve.opened.store_view import StoreView

COMPARED = 1000  # shots at the head of a list; those behind are never folded


@dataclass(frozen=True, slots=True, eq=False)
class ListLayout:
    """The order in which a list of L shots is shown.

    Attributes:
        rows: (R,) int64 positions in the list of the shots that are shown, in the order of the page.
        group: (L,) int64 number of the group of every shot of the list; by video: of its video.
        fold: (L,) int64 number of the shots of which one is shown, for every shot of the list.
        folded: (L,) int64 number of shots that are behind a shown one; 0 for others.
    """

    rows: np.ndarray
    group: np.ndarray
    fold: np.ndarray
    folded: np.ndarray

    def members(self, group: int) -> np.ndarray:
        """(M,) positions of the shots of a group, best first."""
        return np.flatnonzero(self.group == group)

    def behind(self, fold: int) -> np.ndarray:
        """(M,) positions of the shots of a fold, best first: the shown one, and those behind it."""
        return np.flatnonzero(self.fold == fold)


def layout(videos: Sequence[str], way: str, duplicates: np.ndarray | None) -> ListLayout:
    """How a list is shown.

    Args:
        videos: of the L shots, best first.
        way: "shot": as ranked; "video": the shots of a video together, videos in the order of their best shot;
            "first-of-video": the best shot of each video alone.
        duplicates: (L,) number of the group of near duplicates of each shot; None: they are not folded.
    """
    count = len(videos)
    places = np.arange(count)
    alike = places if duplicates is None else _numbered(duplicates)
    of_video = _numbered(np.unique(np.asarray(videos, dtype=object).astype(str), return_inverse=True)[1])
    if way == "shot":
        shown = _firsts(alike)
        return ListLayout(shown, alike, alike, _behind(alike, shown))
    if way == "video":
        shown = _firsts(alike) if duplicates is not None else places
        in_order = shown[np.lexsort((shown, of_video[shown]))]
        return ListLayout(in_order, of_video, alike, _behind(alike, shown))
    joined = alike[_firsts(of_video)][of_video]  # the video's best shot decides which group the video is in
    joined = _numbered(joined)
    shown = _firsts(joined)
    return ListLayout(shown, joined, joined, _behind(joined, shown))


def duplicate_groups(view: StoreView, shots: Sequence[str], threshold: float) -> np.ndarray:
    """(L,) group of near duplicates of every shot; those without a vector, and those behind the head, are alone."""
    from avs.reranking.methods.near_duplicates import near_duplicate_groups  # imports scipy

    groups = np.arange(len(shots))
    rows = view.columns.known_rows(shots[:COMPARED])
    places = np.flatnonzero(rows >= 0)
    places = places[view.has(rows[places])]
    if len(places):
        vectors = shot_vectors(view, [shots[place] for place in places.tolist()])
        found = near_duplicate_groups(vectors, threshold=threshold)
        first = np.unique(found, return_index=True)[1]
        groups[places] = places[first[found]]
    return groups


def _numbered(labels: np.ndarray) -> np.ndarray:
    """(L,) the labels as numbers from 0 in the order of their first occurrence."""
    first, inverse = np.unique(labels, return_index=True, return_inverse=True)[1:]
    ranks = np.empty(len(first), dtype=np.int64)
    ranks[np.argsort(first)] = np.arange(len(first))
    numbered: np.ndarray = ranks[inverse.reshape(-1)] if len(first) else np.empty(0, dtype=np.int64)
    return numbered


def _firsts(labels: np.ndarray) -> np.ndarray:
    """(G,) position of the first shot of each label, ascending."""
    found: np.ndarray = np.sort(np.unique(labels, return_index=True)[1])
    return found


def _behind(labels: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(L,) how many shots of its label are behind each shown shot."""
    behind = np.zeros(len(labels), dtype=np.int64)
    if len(labels):
        behind[shown] = np.bincount(labels)[labels[shown]] - 1
    return behind
