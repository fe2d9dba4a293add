"""Ranks against lists sorted one query at a time; the published counter-examples; what is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from avs.core.errors import DataError
from avs.metrics import text_to_video
from avs.metrics.report import aligned
from avs.metrics.text_to_video import (
    PROTOCOLS,
    TIES,
    Ranking,
    RetrievalScores,
    best_of,
    both_directions,
    rank_captions,
    rank_videos,
    retrieval_rows,
)


def ranks(scores: object, video_of: object = None, **how: str) -> list[int]:
    matrix = np.array(scores, dtype=float)
    videos = np.arange(len(matrix)) if video_of is None else np.array(video_of)
    return rank_videos(matrix, videos, **how).ranks.tolist()


def caption_ranks(scores: object, video_of: object, **how: str) -> list[int]:
    return rank_captions(np.array(scores, dtype=float), np.array(video_of), **how).ranks.tolist()


def naive_list(answers: list[float], others: list[float], ties: str) -> tuple[int, float]:
    """Rank of the first answer and average precision, by sorting: on equal scores answers go first, or last."""
    answer_first = ties == "optimistic"
    items = [(score, True) for score in answers] + [(score, False) for score in others]
    items.sort(key=lambda item: (-item[0], item[1] != answer_first))
    places = [place for place, (_, answer) in enumerate(items, start=1) if answer]
    return places[0], sum(i / place for i, place in enumerate(places, start=1)) / len(places)


def naive(scores: np.ndarray, video_of: np.ndarray, direction: str, protocol: str | None, ties: str) -> list[tuple]:
    results = []
    if direction == "t2v":
        for row, answer in zip(scores, video_of, strict=True):
            results.append(naive_list([row[answer]], np.delete(row, answer).tolist(), ties))
        return results
    for video in sorted(set(video_of.tolist())):
        column = scores[:, video]
        if protocol == "caption":
            answers, others = column[video_of == video], column[video_of != video]
        else:
            best = {group: column[video_of == group].max() for group in set(video_of.tolist())}
            answers, others = [best.pop(video)], list(best.values())
        results.append(naive_list(list(answers), list(others), ties))
    return results


def collection(seed: int, *, texts: int = 40, videos: int = 13) -> tuple[np.ndarray, np.ndarray]:
    """Coarse scores, so that many are equal, and a video or two that nobody describes."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 6, (texts, videos)) / 4, rng.integers(1, videos, texts)


@pytest.mark.parametrize("ties", TIES)
@pytest.mark.parametrize("block_scores", [1, 100, 2**21])
@pytest.mark.parametrize("seed", range(4))
def test_ranks_and_precision_are_those_of_sorted_lists(
    seed: int, block_scores: int, ties: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_to_video, "BLOCK_SCORES", block_scores)
    scores, video_of = collection(seed)
    rankings = [rank_videos(scores, video_of, ties=ties)]
    rankings += [rank_captions(scores, video_of, protocol=protocol, ties=ties) for protocol in PROTOCOLS]
    for ranking in rankings:
        wanted = naive(scores, video_of, ranking.direction, ranking.protocol, ties)
        assert ranking.ranks.tolist() == [rank for rank, _ in wanted]
        np.testing.assert_allclose(ranking.average_precision, [precision for _, precision in wanted], rtol=1e-12)
    described = sorted(set(video_of.tolist()))
    assert [len(ranking.queries) for ranking in rankings] == [40, len(described), len(described)]
    assert rankings[1].queries.tolist() == described
    assert [ranking.candidates for ranking in rankings] == [13, 40, len(described)]


def test_a_tie_gives_a_query_one_rank_and_not_several() -> None:
    assert ranks(np.eye(4)) == ranks(np.eye(4), ties="pessimistic") == [1, 1, 1, 1]
    assert ranks(np.zeros((4, 4))) == [1, 1, 1, 1]
    assert ranks(np.zeros((4, 4)), ties="pessimistic") == [4, 4, 4, 4]
    tied = [[0.5, 0.5, 0.1], [0.2, 0.9, 0.3], [0.1, 0.4, 0.8]]
    assert (ranks(tied), ranks(tied, ties="pessimistic")) == ([1, 1, 1], [2, 1, 1])
    legacy = [np.flatnonzero(np.sort(row)[::-1] == row[i]) + 1 for i, row in enumerate(np.array(tied))]
    assert np.concatenate(legacy).tolist() == [1, 2, 1, 1]  # what compute_metrics averages: four ranks of three queries


def test_a_group_ranks_no_worse_than_its_captions() -> None:
    to_v0 = [0.5, 0.9, 0.8, 0.7]  # c0 describes v0, the other three v1
    scores = np.column_stack([to_v0, np.zeros(4)])
    assert caption_ranks(scores, [0, 1, 1, 1], protocol="caption")[0] == 4
    assert caption_ranks(scores, [0, 1, 1, 1], protocol="group")[0] == 2
    for seed in range(5):
        coarse, video_of = collection(seed)
        for ties in TIES:
            by_caption = rank_captions(coarse, video_of, protocol="caption", ties=ties).ranks
            assert (rank_captions(coarse, video_of, protocol="group", ties=ties).ranks <= by_caption).all()


def test_with_a_caption_each_both_protocols_are_the_transposed_search() -> None:
    scores = np.random.default_rng(0).integers(0, 5, (9, 9)) / 2
    for ties in TIES:
        wanted = ranks(scores.T, ties=ties)
        for protocol in PROTOCOLS:
            assert caption_ranks(scores, np.arange(9), protocol=protocol, ties=ties) == wanted


def test_captions_that_read_the_same_do_not_push_each_other_back() -> None:
    scores = [[0.9, 0.0], [0.9, 0.0], [0.5, 0.0]]  # c0 and c1 both describe v0
    ranking = rank_captions(np.array(scores), np.array([0, 0, 1]), protocol="caption", ties="pessimistic")
    assert ranking.ranks.tolist()[0] == 1 and ranking.average_precision[0] == 1.0


def test_average_precision_counts_all_captions_of_a_video() -> None:
    scores = np.column_stack([[0.9, 0.8, 0.7, 0.6], np.zeros(4)])
    ranking = rank_captions(scores, np.array([0, 1, 0, 1]), protocol="caption")
    assert ranking.ranks[0] == 1
    assert ranking.average_precision[0] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_infinite_scores_are_ranked() -> None:
    padded = [[-np.inf, 0.2, -np.inf], [0.1, -np.inf, 0.3], [-np.inf, -np.inf, -np.inf]]
    assert ranks(padded, [1, 1, 0]) == [1, 3, 1]
    assert ranks(padded, [1, 1, 0], ties="pessimistic") == [1, 3, 3]


def scores_of(ranks: list[int], **changes: object) -> RetrievalScores:
    values = np.array(ranks)
    ranking = Ranking("t2v", None, "optimistic", 100, np.arange(len(values)), values, 1 / values)
    return RetrievalScores.of(dataclasses.replace(ranking, **changes))


def test_the_measures_as_formulas() -> None:
    scores = scores_of([1, 2, 6, 11])
    assert scores.measures == pytest.approx(
        {
            "R@1": 100 * 1 / 4,
            "R@5": 100 * 2 / 4,
            "R@10": 100 * 3 / 4,
            "SumR": 100 * 6 / 4,
            "MdR": (2 + 6) / 2,
            "MnR": 20 / 4,
            "StdR": (((1 - 5) ** 2 + (2 - 5) ** 2 + (6 - 5) ** 2 + (11 - 5) ** 2) / 4) ** 0.5,
            "MRR": (1 + 1 / 2 + 1 / 6 + 1 / 11) / 4,
            "mAP": (1 + 1 / 2 + 1 / 6 + 1 / 11) / 4,
        }
    )
    assert scores_of([1, 2, 3, 4]).median_rank == 2.5
    assert (scores.queries, scores.candidates) == (4, 100)
    data = json.loads(json.dumps(scores.to_json()))
    assert data["direction"] == "t2v" and data["protocol"] is None and data["SumR"] == 150.0


def test_recall_at_other_ranks() -> None:
    scores = -np.arange(8.0)[None].repeat(8, axis=0)  # every query ranks video v at v + 1
    found = RetrievalScores.of(rank_videos(scores, np.arange(8)), (50, 6, 5, 2, 6))
    assert found.more_recalls == {2: 25.0, 6: 75.0, 50: 100.0}
    assert list(found.measures)[:6] == ["R@1", "R@5", "R@10", "R@2", "R@6", "R@50"]
    assert found.sum_of_recalls == RetrievalScores.of(rank_videos(scores, np.arange(8))).sum_of_recalls


def test_the_best_of_several_rankings_is_taken_per_query() -> None:
    a = rank_videos(np.array([[0.9, 0.2], [0.7, 0.1]]), np.array([0, 1]))
    b = rank_videos(np.array([[0.1, 0.95], [0.1, 0.2]]), np.array([0, 1]))
    assert (a.ranks.tolist(), b.ranks.tolist()) == ([1, 2], [2, 1])
    assert best_of([a, b]).ranks.tolist() == [1, 1]
    assert best_of([a, b]).average_precision.tolist() == [1.0, 1.0]


def test_the_table_ends_with_the_sum_of_both_directions() -> None:
    forth = scores_of([1, 2, 6, 11])
    back = scores_of([1, 1, 20, 30], direction="v2t", protocol="group")
    assert list(both_directions([forth, back])) == [("group", "optimistic", 150.0 + 150.0)]
    assert list(both_directions([back])) == []
    table = aligned(list(retrieval_rows({"clip": [forth, back]})), text_columns=4)
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert lines[0] == "system direction protocol ties queries candidates R@1 R@5 R@10 SumR MdR MnR StdR MRR mAP"
    assert lines[2:] == [
        "clip t2v - optimistic 4 100 25.0 50.0 75.0 150.0 4.0 5.00 3.94 0.4394 0.4394",
        "clip v2t group optimistic 4 100 50.0 50.0 50.0 150.0 10.5 13.00 12.51 0.5208 0.5208",
        "clip both group optimistic - - - - - 300.0 - - - - -",
    ]
    assert list(retrieval_rows({"clip": [forth]}))[0] == lines[0].split()


def test_nan_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_to_video, "BLOCK_SCORES", 5)
    scores = np.zeros((6, 3))
    scores[4, 2] = np.nan
    video_of = np.array([2, 1, 0, 2, 1, 0])
    wanted = r"^a score is not a number\n  where:  text 4, video 2 \(counted from 0\)\n  got:    nan$"
    with pytest.raises(DataError, match=wanted):
        rank_videos(scores, video_of)
    for protocol in PROTOCOLS:
        with pytest.raises(DataError, match=wanted):
            rank_captions(scores, video_of, protocol=protocol)


@pytest.mark.parametrize(
    ("shape", "video_of", "message"),
    [
        ((3, 2), [0, 1], r"^the scores do not fit the texts\n  got:    scores \(3, 2\), video_of \(2,\)"),
        ((0, 2), [], "the scores do not fit the texts"),
        ((2, 2), [0, 2], "(?s)describes a video that has no column.*got:    video_of from 0 to 2.*wanted: 0 to 1"),
        ((2, 2), [-1, 0], "describes a video that has no column"),
    ],
)
def test_what_does_not_fit_is_refused(shape: tuple[int, int], video_of: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rank_videos(np.zeros(shape), np.array(video_of, dtype=np.int64))
    with pytest.raises(DataError, match=message):
        rank_captions(np.zeros(shape), np.array(video_of, dtype=np.int64), protocol="group")
