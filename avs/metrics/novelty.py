"""TRECVID's novelty score: credit for relevant shots that no other team found.

A relevant shot of a topic that N of M runs retrieved has the weight 1 - N / M. The unique shots of a run are those that
no run of another team retrieved. The score of a run is the sum of the weights of its unique shots over all topics,
divided by the number of topics. NIST's code is not public; this follows its published description.

The score depends on the whole set of runs, so it can only compare runs of the same set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import DataError
from avs.core.qrels import Qrels
from avs.core.ranking import MAX_RESULTS, rank_order


@dataclass(frozen=True, slots=True, eq=False)
class TeamRun:
    """A run and who submitted it.

    Attributes:
        run: its name.
        team: its team; two runs of a team may share their unique shots.
        columns: topic id -> shots and (N,) scores.
    """

    run: str
    team: str
    columns: Mapping[str, tuple[Sequence[str], np.ndarray]]


@dataclass(frozen=True, slots=True)
class Novelty:
    """The novelty score of a run, and the number of its relevant shots, over all topics, that only its team found."""

    run: str
    team: str
    score: float
    unique_shots: int


def novelty(runs: Sequence[TeamRun], qrels: Qrels) -> list[Novelty]:
    """The novelty of every run, in the order of `runs`.

    Only shots that are judged relevant, among the first 1000 of a list, count. The topics are those of the qrels.

    Raises:
        DataError: the runs are of fewer than two teams.
    """
    if len({run.team for run in runs}) < 2:
        teams = ", ".join(sorted({run.team for run in runs})) or "none"
        raise DataError("novelty needs runs of at least two teams", got=f"teams: {teams}")
    scores, unique = np.zeros(len(runs)), np.zeros(len(runs), dtype=np.int64)
    for topic, pool in qrels.topics.items():
        relevant = pool.relevant
        relevant_by_run = [relevant & _retrieved(run, topic) for run in runs]
        times = Counter(shot for shots in relevant_by_run for shot in shots)
        of_team: dict[str, Counter[str]] = {run.team: Counter() for run in runs}
        for run, shots in zip(runs, relevant_by_run, strict=True):
            of_team[run.team].update(shots)
        for i, (run, shots) in enumerate(zip(runs, relevant_by_run, strict=True)):
            only = [shot for shot in shots if times[shot] == of_team[run.team][shot]]
            scores[i] += sum(1 - times[shot] / len(runs) for shot in sorted(only))
            unique[i] += len(only)
    return [
        Novelty(run.run, run.team, float(score) / len(qrels), int(count))
        for run, score, count in zip(runs, scores, unique, strict=True)
    ]


def _retrieved(run: TeamRun, topic: str) -> set[str]:
    if topic not in run.columns:
        return set()
    shots, scores = run.columns[topic]
    if len(shots) <= MAX_RESULTS:
        return set(shots)
    last = dict(zip(shots, scores.tolist(), strict=True))
    names = list(last)
    return {names[i] for i in rank_order(names, np.array(list(last.values()), dtype=scores.dtype))[:MAX_RESULTS]}
