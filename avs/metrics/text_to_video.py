"""Text-to-video retrieval benchmarks (MSR-VTT, MSVD, VATEX ...): the ranks in a score matrix, and their measures.

In the direction text to video, every caption is a query, and one video is its answer. In the direction video to text, a
video is the query, and its answer depends on the protocol:

    caption   all captions are ranked, and the first caption of the video counts (Collaborative Experts, BMVC 2019; the
              text of the CLIP-straight paper)
    group     the captions of a video are one item with the score of its best caption, and the items are ranked (the
              released code of CLIP-straight, CLIP4Clip, CLIP2Video and TeachCLIP; its ranks are never worse)

If each video has one caption, both are the same. Published video-to-text results on sets with several captions per
video mostly use "group".

Equal scores: an "optimistic" rank puts the answer before all candidates that tie with it, a "pessimistic" rank behind
them. Each query has one rank. This differs from CLIP4Clip's compute_metrics and code derived from it, where a tie gives
a query several ranks and thus more weight in the mean, and from argsort, where the order of the columns decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from avs.core.errors import DataError

Direction = Literal["t2v", "v2t"]
CaptionProtocol = Literal["caption", "group"]
Ties = Literal["optimistic", "pessimistic"]
DIRECTIONS: tuple[Direction, ...] = ("t2v", "v2t")
PROTOCOLS: tuple[CaptionProtocol, ...] = ("caption", "group")
TIES: tuple[Ties, ...] = ("optimistic", "pessimistic")

RECALLS = (1, 5, 10)  # in every table

BLOCK_SCORES = 2**21  # compared at once: 8 MB of float32, which stays in the cache


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """The rank of the answer to each query of a collection.

    Attributes:
        direction: of the search.
        protocol: of the captions; None for text to video.
        ties: whether the answer comes before or behind candidates with the same score.
        candidates: number of ranked items.
        queries: (Q,) int64 rows (t2v) or columns (v2t) of the score matrix.
        ranks: (Q,) int64 rank, from 1, of the first answer.
        average_precision: (Q,) float64; 1 / rank for a query with one answer.
    """

    direction: Direction
    protocol: CaptionProtocol | None
    ties: Ties
    candidates: int
    queries: np.ndarray
    ranks: np.ndarray
    average_precision: np.ndarray


def rank_videos(scores: np.ndarray, video_of: np.ndarray, *, ties: Ties = "optimistic") -> Ranking:
    """For every text, the rank of its video among all V videos.

    The optimistic rank is 1 + #(scores > the answer's); the pessimistic rank is #(scores >= the answer's).

    Args:
        scores: (T, V) of any float type, larger is better; infinite scores are ranked like others.
        video_of: (T,) int64, the column that each text describes.

    Raises:
        DataError: the shapes do not fit, a column does not exist, or a score is NaN.
    """
    _require_fitting(scores, video_of)
    ranks = np.empty(len(scores), dtype=np.int64)
    step = max(BLOCK_SCORES // scores.shape[1], 1)
    for first in range(0, len(scores), step):
        block, answers = scores[first : first + step], video_of[first : first + step]
        _require_numbers(block, first=first)
        ranks[first : first + step] = _ranks_of(block, answers, ties)
    return Ranking("t2v", None, ties, scores.shape[1], np.arange(len(scores)), ranks, 1 / ranks)


def rank_captions(
    scores: np.ndarray, video_of: np.ndarray, *, protocol: CaptionProtocol, ties: Ties = "optimistic"
) -> Ranking:
    """For every video with a caption, the rank of its first caption, or of its group of captions.

    "caption": the i-th best of a video's own captions has rank i + #(captions of other videos before it), and the
    average precision is the mean of i / rank over them. A video's own captions never lower each other's ranks, so two
    identical captions have no effect, whichever way ties are counted.

    "group": ranks as in rank_videos, among the groups of all videos with captions.

    Args, Raises: as rank_videos.
    """
    _require_fitting(scores, video_of)
    grouped = np.argsort(video_of, kind="stable")
    queries, starts = np.unique(video_of[grouped], return_index=True)
    ends = np.append(starts[1:], len(grouped))
    ranks = np.empty(len(queries), dtype=np.int64)
    precision = np.empty(len(queries))
    for places, block in _columns(scores, grouped, queries):
        if protocol == "group":
            ranks[places] = _ranks_of(np.maximum.reduceat(block, starts, axis=1), places, ties)
            precision[places] = 1 / ranks[places]
            continue
        for place, column in zip(places.tolist(), block, strict=True):
            own = _own_ranks(column, starts[place], ends[place], ties)
            ranks[place] = own[0]
            precision[place] = (np.arange(1, len(own) + 1) / own).mean()
    candidates = len(scores) if protocol == "caption" else len(queries)
    return Ranking("v2t", protocol, ties, candidates, queries, ranks, precision)


def best_of(rankings: Sequence[Ranking]) -> Ranking:
    """The best rank of every query over several rankings (CLIP-straight's evaluation of k centroids)."""
    first = rankings[0]
    ranks: np.ndarray = np.min([ranking.ranks for ranking in rankings], axis=0)
    precision: np.ndarray = np.max([ranking.average_precision for ranking in rankings], axis=0)
    return Ranking(first.direction, first.protocol, first.ties, first.candidates, first.queries, ranks, precision)


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """The measures of a ranking.

    Attributes:
        direction, protocol, ties, candidates: as in `Ranking`.
        queries: number of queries.
        recall_at_1, recall_at_5, recall_at_10: percentage of queries whose rank is at most 1, 5 and 10.
        median_rank: MdR; for an even number of queries, the mean of the two middle ranks (torch.median, which the
            current code of CLIP-straight calls, takes the lower one; LAFF rounds down).
        mean_rank: MnR.
        std_rank: StdR, of the queries as a population (ddof 0).
        mean_reciprocal_rank: MRR, "mir" in RUC's code.
        mean_average_precision: mAP, which differs from MRR only if a query has several answers.
        more_recalls: rank -> percentage of queries whose rank is at most that, for other ranks than 1, 5 and 10.
    """

    direction: Direction
    protocol: CaptionProtocol | None
    ties: Ties
    candidates: int
    queries: int
    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    median_rank: float
    mean_rank: float
    std_rank: float
    mean_reciprocal_rank: float
    mean_average_precision: float
    more_recalls: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, ranking: Ranking, recall_at: Sequence[int] = ()) -> RetrievalScores:
        """The measures of a ranking.

        Args:
            recall_at: ranks to give the recall at besides 1, 5 and 10, such as 50 on ActivityNet.
        """
        ranks = ranking.ranks
        more = sorted({k for k in recall_at if k not in RECALLS})
        return cls(
            direction=ranking.direction,
            protocol=ranking.protocol,
            ties=ranking.ties,
            candidates=ranking.candidates,
            queries=len(ranks),
            recall_at_1=100 * float((ranks <= 1).mean()),
            recall_at_5=100 * float((ranks <= 5).mean()),
            recall_at_10=100 * float((ranks <= 10).mean()),
            median_rank=float(np.median(ranks)),
            mean_rank=float(ranks.mean()),
            std_rank=float(ranks.std()),
            mean_reciprocal_rank=float((1 / ranks).mean()),
            mean_average_precision=float(ranking.average_precision.mean()),
            more_recalls={k: 100 * float((ranks <= k).mean()) for k in more},
        )

    @property
    def sum_of_recalls(self) -> float:
        """SumR of this direction: R@1 + R@5 + R@10. SumR of both directions is the sum of the two."""
        return self.recall_at_1 + self.recall_at_5 + self.recall_at_10

    @property
    def measures(self) -> dict[str, float]:
        """The measures by the names used in papers, in the order of a table."""
        return {
            "R@1": self.recall_at_1,
            "R@5": self.recall_at_5,
            "R@10": self.recall_at_10,
            **{f"R@{k}": recall for k, recall in self.more_recalls.items()},
            "SumR": self.sum_of_recalls,
            "MdR": self.median_rank,
            "MnR": self.mean_rank,
            "StdR": self.std_rank,
            "MRR": self.mean_reciprocal_rank,
            "mAP": self.mean_average_precision,
        }

    def to_json(self) -> dict[str, object]:
        """All fields and measures, unrounded."""
        setting = {"direction": self.direction, "protocol": self.protocol, "ties": self.ties}
        return {**setting, "queries": self.queries, "candidates": self.candidates, **self.measures}


def both_directions(scores: Sequence[RetrievalScores]) -> Iterator[tuple[CaptionProtocol | None, Ties, float]]:
    """SumR of both directions of a system (0 to 600), for every protocol and treatment of ties in `scores`."""
    forth = {row.ties: row for row in scores if row.direction == "t2v"}
    for back in scores:
        if back.direction == "v2t" and back.ties in forth:
            yield back.protocol, back.ties, forth[back.ties].sum_of_recalls + back.sum_of_recalls


def retrieval_rows(systems: Mapping[str, Sequence[RetrievalScores]]) -> Iterator[list[str]]:
    """The rows of a table for report.aligned or tsv: a header, then per system its scores and SumR of both directions.

    The first four columns are text: system, direction, protocol, ties.
    """
    measures = list(next(iter(systems.values()))[0].measures)
    yield ["system", "direction", "protocol", "ties", "queries", "candidates", *measures]
    for name, scores in systems.items():
        for row in scores:
            cells = [_cell(measure, value) for measure, value in row.measures.items()]
            yield [name, row.direction, row.protocol or "-", row.ties, str(row.queries), str(row.candidates), *cells]
        for protocol, ties, total in both_directions(scores):
            cells = [_cell(measure, total) if measure == "SumR" else "-" for measure in measures]
            yield [name, "both", protocol or "-", ties, "-", "-", *cells]


def aggregation_rows(
    systems: Mapping[str, Sequence[RetrievalScores]], aggregations: Mapping[str, str]
) -> Iterator[list[str]]:
    """The rows of CLIP-straight's table of aggregations: a header, then R@1 to R@10, MdR, MnR, StdR of every system.

    The first five columns are text: aggregation, system, direction, protocol, ties.

    Args:
        aggregations: name of a system -> A_s, A_avg, A_2 ...; "-" for systems that do not aggregate frames.
    """
    first = next(iter(systems.values()))[0]
    measures = [measure for measure in first.measures if measure.startswith("R@") or measure in ("MdR", "MnR", "StdR")]
    yield ["aggregation", "system", "direction", "protocol", "ties", *measures]
    for name, scores in systems.items():
        for row in scores:
            cells = [_cell(measure, row.measures[measure]) for measure in measures]
            yield [aggregations.get(name, "-"), name, row.direction, row.protocol or "-", row.ties, *cells]


def _cell(measure: str, value: float) -> str:
    return f"{value:.{4 if measure in ('MRR', 'mAP') else 2 if measure in ('MnR', 'StdR') else 1}f}"


def _ranks_of(block: np.ndarray, answers: np.ndarray, ties: Ties) -> np.ndarray:
    """(B,) rank of column answers[i] in row i of a (B, V) block."""
    own = block[np.arange(len(block)), answers][:, None]
    ahead = block > own if ties == "optimistic" else block >= own  # >= counts the answer itself
    ranks: np.ndarray = np.count_nonzero(ahead, axis=1) + (ties == "optimistic")
    return ranks


def _own_ranks(column: np.ndarray, start: int, end: int, ties: Ties) -> np.ndarray:
    """(C,) ascending ranks of captions start:end in a (T,) column; ties among them do not lower their ranks."""
    own = np.sort(column[start:end])[::-1]
    before = np.greater if ties == "optimistic" else np.greater_equal
    # Each caption is compared with the column alone, because all at once would not fit into the cache.
    others = [np.count_nonzero(before(column, score)) - np.count_nonzero(before(own, score)) for score in own]
    return np.array(others) + np.arange(1, len(own) + 1)


def _columns(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of `columns`: (B,) their positions, and (B, T) their scores with the texts in the order of `rows`."""
    step = max(BLOCK_SCORES // len(rows), 1)
    for first in range(0, len(columns), step):
        chosen = columns[first : first + step]
        block = scores[np.ix_(rows, chosen)]
        _require_numbers(block, texts=rows, videos=chosen)
        yield np.arange(first, first + len(chosen)), np.ascontiguousarray(block.T)


def _require_fitting(scores: np.ndarray, video_of: np.ndarray) -> None:
    if scores.ndim != 2 or 0 in scores.shape or video_of.shape != (len(scores),):
        raise DataError(
            "the scores do not fit the texts",
            got=f"scores {scores.shape}, video_of {video_of.shape}",
            wanted="scores (T, V), video_of (T,), neither of them empty",
        )
    if video_of.min() < 0 or video_of.max() >= scores.shape[1]:
        raise DataError(
            "a text describes a video that has no column",
            got=f"video_of from {video_of.min()} to {video_of.max()}",
            wanted=f"0 to {scores.shape[1] - 1}",
        )


def _require_numbers(
    block: np.ndarray, *, first: int = 0, texts: np.ndarray | None = None, videos: np.ndarray | None = None
) -> None:
    if not np.isnan(block).any():
        return
    row, column = np.argwhere(np.isnan(block))[0].tolist()
    text = first + row if texts is None else int(texts[row])
    video = column if videos is None else int(videos[column])
    raise DataError("a score is not a number", where=f"text {text}, video {video} (counted from 0)", got="nan")
