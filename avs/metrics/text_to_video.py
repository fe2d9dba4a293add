"""Text-to-video retrieval benchmarks (MSR-VTT, MSVD, VATEX ...): ranks in a score matrix, and what is said of them.

Text to video, every caption is a query of its own and one video answers it. Video to text, a video is the query, and
what answers it depends on the protocol:

    caption   all captions are ranked, and the first of the video's own counts (Collaborative Experts, BMVC 2019; the
              text of the CLIP-straight paper)
    group     the captions of a video are one item that scores as its best caption, and items are ranked (what the
              released code of CLIP-straight, CLIP4Clip, CLIP2Video and TeachCLIP does; never a worse rank)

Where each video has one caption the two are the same. Published V2T figures of multi-caption sets are mostly "group".

Equal scores: an "optimistic" rank puts the answer before all that tie with it, a "pessimistic" one behind them. There
is one rank a query. This differs from CLIP4Clip's compute_metrics (and its descendants'), where a tie gives a query
several ranks and so a larger share of the mean; and from argsort, where the order of the columns decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avs.core.errors import DataError

Direction = Literal["t2v", "v2t"]
CaptionProtocol = Literal["caption", "group"]
Ties = Literal["optimistic", "pessimistic"]
DIRECTIONS: tuple[Direction, ...] = ("t2v", "v2t")
PROTOCOLS: tuple[CaptionProtocol, ...] = ("caption", "group")
TIES: tuple[Ties, ...] = ("optimistic", "pessimistic")

BLOCK_SCORES = 2**21  # looked at at once, 8 MB of float32: what is compared stays in the cache


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Where each query of a collection finds its answer.

    Attributes:
        direction: of the search.
        protocol: of the captions; None text to video.
        ties: who comes first among equals.
        candidates: how many are ranked.
        queries: (Q,) int64 rows (t2v) or columns (v2t) of the score matrix.
        ranks: (Q,) int64 from 1, of the first answer.
        average_precision: (Q,) float64; 1 / rank where there is one answer.
    """

    direction: Direction
    protocol: CaptionProtocol | None
    ties: Ties
    candidates: int
    queries: np.ndarray
    ranks: np.ndarray
    average_precision: np.ndarray


def rank_videos(scores: np.ndarray, video_of: np.ndarray, *, ties: Ties = "optimistic") -> Ranking:
    """The rank of its video for every text, among all V videos.

    Optimistic, 1 + #(scores greater than the answer's); pessimistic, #(scores at least as great).

    Args:
        scores: (T, V), larger is better, of any float type; infinite scores are ranked like any other.
        video_of: (T,) int64, the column each text describes.

    Raises:
        DataError: shapes that do not fit, a column that is not there, or a score that is NaN.
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
    """The rank of its first caption, or of its group of captions, for every video that has a caption.

    "caption": the i-th best of a video's own captions has rank i + #(captions of others that come before it), and the
    average precision is the mean of i / rank over them. A video's own captions never push each other back: two that
    read the same cost nothing, however ties are counted.

    "group": ranks as in rank_videos, among as many groups as there are videos with captions.

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
            found = _own_ranks(column, starts[place], ends[place], ties)
            ranks[place] = found[0]
            precision[place] = (np.arange(1, len(found) + 1) / found).mean()
    candidates = len(scores) if protocol == "caption" else len(queries)
    return Ranking("v2t", protocol, ties, candidates, queries, ranks, precision)


def best_of(rankings: Sequence[Ranking]) -> Ranking:
    """Every query's best rank over several rankings of the same queries (CLIP-straight's evaluation of k centroids)."""
    first = rankings[0]
    ranks: np.ndarray = np.min([ranking.ranks for ranking in rankings], axis=0)
    precision: np.ndarray = np.max([ranking.average_precision for ranking in rankings], axis=0)
    return Ranking(first.direction, first.protocol, first.ties, first.candidates, first.queries, ranks, precision)


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """What is reported of a ranking.

    Attributes:
        direction, protocol, ties, candidates: as of the Ranking.
        queries: how many.
        recall_at_1, recall_at_5, recall_at_10: percent of the queries whose rank is at most so much.
        median_rank: MdR, the mean of the two in the middle where their number is even (torch.median, which today's code
            of CLIP-straight calls, takes the lower; LAFF rounds down).
        mean_rank: MnR.
        std_rank: StdR, over the queries as a population (ddof 0).
        mean_reciprocal_rank: MRR, "mir" in the code of RUC.
        mean_average_precision: mAP; it differs from MRR only where a query has several answers.
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

    @classmethod
    def of(cls, ranking: Ranking) -> RetrievalScores:
        """The measures of a ranking."""
        ranks = ranking.ranks
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
        )

    @property
    def sum_of_recalls(self) -> float:
        """SumR of this direction, R@1 + R@5 + R@10; that of both directions is the sum of the two."""
        return self.recall_at_1 + self.recall_at_5 + self.recall_at_10

    @property
    def measures(self) -> dict[str, float]:
        """The measures by the names papers give them, in the order of a table."""
        return {
            "R@1": self.recall_at_1,
            "R@5": self.recall_at_5,
            "R@10": self.recall_at_10,
            "SumR": self.sum_of_recalls,
            "MdR": self.median_rank,
            "MnR": self.mean_rank,
            "StdR": self.std_rank,
            "MRR": self.mean_reciprocal_rank,
            "mAP": self.mean_average_precision,
        }

    def to_json(self) -> dict[str, object]:
        """Everything, unrounded."""
        said = {"direction": self.direction, "protocol": self.protocol, "ties": self.ties}
        return {**said, "queries": self.queries, "candidates": self.candidates, **self.measures}


def both_directions(scores: Sequence[RetrievalScores]) -> Iterator[tuple[CaptionProtocol | None, Ties, float]]:
    """SumR of both directions of a system, for every protocol and way to break ties that `scores` holds: 0 to 600."""
    forth = {row.ties: row for row in scores if row.direction == "t2v"}
    for back in scores:
        if back.direction == "v2t" and back.ties in forth:
            yield back.protocol, back.ties, forth[back.ties].sum_of_recalls + back.sum_of_recalls


def retrieval_rows(systems: Mapping[str, Sequence[RetrievalScores]]) -> Iterator[list[str]]:
    """A header and a row for all scores of every system, then SumR of both directions: for report.aligned or tsv.

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


def _cell(measure: str, value: float) -> str:
    return f"{value:.{4 if measure in ('MRR', 'mAP') else 2 if measure in ('MnR', 'StdR') else 1}f}"


def _ranks_of(block: np.ndarray, answers: np.ndarray, ties: Ties) -> np.ndarray:
    """(B,) ranks of column answers[i] in row i of a (B, V) block."""
    own = block[np.arange(len(block)), answers][:, None]
    ahead = block > own if ties == "optimistic" else block >= own  # the answer itself is among the latter
    ranks: np.ndarray = np.count_nonzero(ahead, axis=1) + (ties == "optimistic")
    return ranks


def _own_ranks(column: np.ndarray, start: int, end: int, ties: Ties) -> np.ndarray:
    """(C,) ascending ranks of the captions start:end among all of a (T,) column, own ones tying in their favour."""
    own = np.sort(column[start:end])[::-1]
    before = np.greater if ties == "optimistic" else np.greater_equal
    # One comparison of the column a caption: all at once would not fit into the cache.
    others = [np.count_nonzero(before(column, score)) - np.count_nonzero(before(own, score)) for score in own]
    return np.array(others) + np.arange(1, len(own) + 1)


def _columns(scores: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Blocks of `columns`, each as (B,) places among them and (B, T) scores with the texts in the order of `rows`."""
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
