"""Questions in time, against a search through all chains one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avs.core.shots import ShotTable
from avs.serve.opened.shot_columns import ShotColumns, _videos
from avs.serve.search.temporal import Windows, chain, follow, mean_of_systems, standardised


def columns_of(videos: list[list[tuple[float, float]]]) -> ShotColumns:
    ids = [f"shot{v:05d}_{n}" for v, spans in enumerate(videos, start=1) for n in range(1, len(spans) + 1)]
    starts, ends = zip(*(span for spans in videos for span in spans), strict=True)
    table = ShotTable(ids, starts, ends)
    names, first = _videos(table.ids)
    return ShotColumns(table.ids, names, first, table.start_s, table.end_s)


def by_hand(scores: np.ndarray, columns: ShotColumns, within_s: float) -> np.ndarray:
    """(N,) the best chain from each shot, looked for among all."""
    count = scores.shape[1]
    video = columns.video_numbers(np.arange(count))

    def best(part: int, row: int) -> float:
        score = float(scores[part, row])
        if part == len(scores) - 1 or np.isnan(score):
            return score
        later = [
            best(part + 1, after)
            for after in range(row + 1, count)
            if video[after] == video[row] and columns.start_s[after] - columns.end_s[row] <= within_s
        ]
        later = [value for value in later if not np.isnan(value)]
        return score + max(later) if later else -np.inf

    found = np.array([best(0, row) for row in range(count)])
    return np.where(np.isnan(found), -np.inf, found)


quarters = st.integers(0, 40).map(lambda n: n / 4)
spans = st.lists(st.tuples(quarters, st.integers(1, 8).map(lambda n: n / 4)), min_size=1, max_size=7)


@given(st.lists(spans, min_size=1, max_size=4), st.booleans(), st.integers(2, 4), quarters, st.integers(0, 10**6))
def test_every_chain_is_found(videos, in_order, parts, within_s, seed) -> None:
    timed = [[(start, start + length) for start, length in (sorted(of) if in_order else of)] for of in videos]
    columns = columns_of(timed)
    rng = np.random.default_rng(seed)
    scores = rng.integers(-8, 8, (parts, len(columns))).astype(np.float32)
    scores[rng.random(scores.shape) < 0.1] = np.nan
    windows = Windows(columns, within_s)
    totals = chain(scores, windows)
    wanted = by_hand(scores, columns, within_s)
    np.testing.assert_array_equal(totals[0], wanted)
    for row in np.flatnonzero(np.isfinite(wanted)).tolist():
        rows = follow(totals, windows, row)
        assert len(rows) == parts and rows[0] == row
        assert sum(float(scores[part, one]) for part, one in enumerate(rows)) == pytest.approx(wanted[row])
        for here, there in zip(rows, rows[1:], strict=False):
            assert there > here and columns.start_s[there] - columns.end_s[here] <= within_s
            assert columns.video_of(here) == columns.video_of(there)


def test_the_second_part_may_be_behind_any_rank() -> None:
    """B is at rank 1,001 and later for its own sentence, and the pair is still first."""
    count = 5000
    columns = columns_of([[(float(n), n + 1.0) for n in range(count)]])
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.1, (2, count)).astype(np.float32)
    scores[0, 2000], scores[1, 2003] = 9.0, 0.05
    scores[1, 2001:2003] = -1.0
    scores[1, 2004:2040] = -1.0
    assert (scores[1] > scores[1, 2003]).sum() > 1000
    windows = Windows(columns, 5.0)
    totals = chain(scores, windows)
    assert int(np.argmax(totals[0])) == 2000 and follow(totals, windows, 2000) == [2000, 2003]


def test_no_chain_leaves_its_video() -> None:
    columns = columns_of([[(0.0, 1.0), (1.0, 2.0)], [(0.0, 1.0), (1.0, 2.0)]])
    totals = chain(np.ones((2, 4), dtype=np.float32), Windows(columns, 1e6))
    assert totals[0].tolist() == [2.0, -np.inf, 2.0, -np.inf]


def test_scores_are_standardised_over_the_collection() -> None:
    scores = np.array([[1.0, 3.0, np.nan, 5.0], [2.0, 2.0, 2.0, 2.0]], dtype=np.float32)
    values = standardised(scores)
    np.testing.assert_allclose(values[0, [0, 1, 3]], (np.array([1, 3, 5]) - 3) / np.std([1, 3, 5]), rtol=1e-6)
    assert np.isnan(values[0, 2]) and (values[1] == 0).all()


def test_a_shot_counts_by_the_systems_that_have_it() -> None:
    one, two = np.array([[1.0, np.nan, np.nan]]), np.array([[3.0, 2.0, np.nan]])
    np.testing.assert_array_equal(mean_of_systems([one, two]), np.array([[2.0, 2.0, np.nan]], dtype=np.float32))


def test_a_question_in_time_over_http(shared_client, tiny) -> None:
    from live_server import ask

    from avs.core.store import FeatureStore
    from avs.features.embedder import load_embedder

    query = {"parts": [{"text": "a dog"}, {"text": "a red circle"}], "by": ["one-shot"], "within_s": 1.0}
    answer = ask(shared_client, **query)
    store = FeatureStore(tiny.stores[0])
    weights = Path(tiny.root) / "weights-one"
    vectors = load_embedder("clip", weights=weights).encode_texts(["a dog", "a red circle"])
    scores = standardised((vectors @ store.vectors.T.astype(np.float32)).astype(np.float32))
    columns = columns_of([[(n * 0.24, n * 0.24 + 0.24) for n in range(count)] for count in (25, 25, 10)])
    wanted = by_hand(scores, columns, 1.0)
    best = np.argsort(-wanted, kind="stable")[: int(np.isfinite(wanted).sum())]
    assert [one["shot"] for one in answer["results"]] == [columns.ids[row] for row in best][:100]
    for one in answer["results"]:
        assert len(one["parts"]) == 2 and one["parts"][0] == one["shot"]
        assert one["score"] == pytest.approx(wanted[columns.row(one["shot"])], abs=1e-4)
    assert answer["systems"][0]["scored"] == 60
