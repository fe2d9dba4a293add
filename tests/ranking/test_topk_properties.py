"""What holds for every stream of scores: the lists are the head of a full sort, wherever the stream is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avs.core.ranking import RankedList, rank_order
from avs.ranking.topk import TopK

VALUES = st.integers(-2, 2).map(float) | st.floats(-(2.0**100), 2.0**100, width=32)


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, list[str], list[int]]:
    """(T, N) scores, N ids in no order, and the columns at which the stream is cut."""
    ids = draw(st.lists(st.integers(1, 40).map("shot1_{}".format), min_size=1, unique=True))
    row = st.lists(VALUES, min_size=len(ids), max_size=len(ids))
    scores = np.array(draw(st.lists(row, min_size=1, max_size=3)), dtype=np.float32)
    return scores, ids, sorted(draw(st.sets(st.integers(0, len(ids)))))


def full_sort(ids: list[str], scores: list[float]) -> list[tuple[float, str]]:
    return sorted(zip(scores, ids, strict=True), reverse=True)


@given(streams(), st.integers(1, 45), st.data())
def test_the_best_of_a_stream_are_the_head_of_a_full_sort(
    stream: tuple[np.ndarray, list[str], list[int]], k: int, data: st.DataObject
) -> None:
    scores, ids, cuts = stream
    topics = [str(number) for number in range(len(scores))]
    best = TopK(topics, ids, k=k)
    absent: set[int] = set()
    for first, last in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        present = np.array(data.draw(st.lists(st.booleans(), min_size=last - first, max_size=last - first)), dtype=bool)
        best.add(scores[:, first:last][:, present], first=first, present=present)
        absent |= {first + int(i) for i in np.flatnonzero(~present)}
        if data.draw(st.booleans()):  # stop and go on
            again = TopK(topics, ids, k=k)
            again.restore(best.state())
            best = again
    kept = [i for i in range(len(ids)) if i not in absent]
    for row, found in zip(scores, best.lists(), strict=True):
        wanted = full_sort([ids[i] for i in kept], [float(row[i]) for i in kept])[:k]
        assert list(zip(found.scores.tolist(), found.shots, strict=True)) == wanted


@given(streams(), st.integers(1, 45))
def test_a_ranked_list_is_the_head_of_a_full_sort(stream: tuple[np.ndarray, list[str], list[int]], limit: int) -> None:
    scores, ids, _ = stream
    wanted = full_sort(ids, scores[0].astype(float).tolist())
    found = RankedList.from_scores("1", ids, scores[0], limit=limit)
    assert list(zip(found.scores.tolist(), found.shots, strict=True)) == wanted[:limit]
    assert [ids[i] for i in rank_order(ids, scores[0].astype(np.float64))] == [shot for _, shot in wanted]
