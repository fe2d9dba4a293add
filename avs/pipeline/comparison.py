"""Comparison of runs: paired tests between them, and novelty over the runs of several teams."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import require_path
from avs.core.errors import ConfigError, DataError, Problems
from avs.core.qrels import Qrels
from avs.core.ranking import Run
from avs.metrics.measures import parse_measures
from avs.metrics.novelty import Novelty, TeamRun, novelty
from avs.metrics.significance import ITERATIONS, Randomization, largest_differences, randomization_test, wins
from avs.pipeline.evaluation import NamedColumns, evaluate_runs, read_runs
from avs.trecvid.editions import team_of


@dataclass(frozen=True, slots=True)
class RunPair:
    """Two compared runs.

    Attributes:
        run, against: their names.
        mean, against_mean: the mean of each over the topics.
        difference: mean - against_mean.
        p: two-sided p-value of the paired randomization test.
        wins, losses: the number of topics on which `run` is better, and worse.
        topics: topic id -> difference, the largest first.
    """

    run: str
    against: str
    mean: float
    against_mean: float
    difference: float
    p: float
    wins: int
    losses: int
    topics: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class RunComparison:
    """Paired randomization tests of every run against every other.

    Attributes:
        measure: what was compared.
        runs: R names.
        topics: T topic ids.
        test: the tests of all pairs.
        wins: (R, R) int64; on how many topics run i is better than run j.
        pairs: each two runs once, in the order of the runs.
    """

    measure: str
    runs: tuple[str, ...]
    topics: tuple[str, ...]
    test: Randomization
    wins: np.ndarray
    pairs: tuple[RunPair, ...]

    def __str__(self) -> str:
        header = f"{self.measure} over {len(self.topics)} topics, paired randomization test, {self.test.swaps_used}"
        lines = (f"{p.run} - {p.against}: {p.difference:+.4f} (p = {p.p:.4f})" for p in self.pairs)
        return "\n".join([header, *lines])

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row per pair; the differences per topic are left out."""
        import pandas as pd

        return pd.DataFrame(map(asdict, self.pairs)).drop(columns="topics")


def compare(
    runs: Iterable[Run | NamedColumns],
    qrels: Qrels,
    measure: str = "infAP",
    *,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> RunComparison:
    """Test every run against every other by randomization over topics (Manly, 1997).

    Args:
        measure: a mean over topics, such as "xinfAP" or "iP@10".
        iterations: number of random swaps; if there are not more than this, all swaps are tried.
        seed: of the random swaps.

    Raises:
        ConfigError: an unknown measure, or a count.
        DataError: fewer than two runs; as `evaluate`.
        FormatError: as `evaluate`.
    """
    (chosen,) = parse_measures([measure])
    if chosen.is_sum:
        raise ConfigError("a count cannot be compared", got=measure, next_step="compare infAP, iP@10 ...")
    scores = evaluate_runs(runs, qrels, [chosen])
    values = np.array([run.values[:, 0] for run in scores])  # (R, T)
    test, won, topics = randomization_test(values, iterations=iterations, seed=seed), wins(values), scores[0].topics
    pairs = tuple(
        RunPair(
            run=scores[i].run,
            against=scores[j].run,
            mean=float(values[i].mean()),
            against_mean=float(values[j].mean()),
            difference=float(test.differences[i, j]),
            p=float(test.p_values[i, j]),
            wins=int(won[i, j]),
            losses=int(won[j, i]),
            topics=dict(largest_differences(values[i], values[j], topics)),
        )
        for i, j in combinations(range(len(scores)), 2)
    )
    return RunComparison(str(chosen), tuple(run.run for run in scores), topics, test, won, pairs)


def novelty_of_folder(folder: Path, qrels: Qrels) -> list[Novelty]:
    """The novelty of every run in a folder, the highest first.

    The team of an XML run is its pid; that of a TREC file is in its name, which must be NIST's run id.

    Raises:
        DataError: no run files; a run without a team; runs of fewer than two teams.
        FormatError: a file is not a run.
    """
    files = sorted(
        file
        for file in require_path(folder, what="folder of runs").iterdir()
        if file.is_file() and not file.name.startswith(".") and not file.name.endswith(".manifest.json")
    )
    if not files:
        raise DataError("no run files in the folder", where=folder)
    problems = Problems(f"teams of the runs in {folder}")
    runs = []
    for file in files:
        named = list(read_runs([file], qrels))
        for (name, columns), team in zip(named, _teams(file, len(named)), strict=True):
            if team is None:
                problems.add(file, "no team: it has no pid, and its name is not a run id")
            else:
                runs.append(TeamRun(name, team, columns))
    problems.raise_if_any(DataError, next_step="name TREC files by NIST's run id, such as F_M_C_D_TEAM.21_1.trec")
    return sorted(novelty(runs, qrels), key=lambda one: (-one.score, one.run))


def _teams(file: Path, runs: int) -> list[str | None]:
    """The team of every run in a file."""
    if file.suffix == ".xml":
        from avs.trecvid.run_xml import read_run_xml

        return [run.attributes.get("pid") for run in read_run_xml(file)]
    return [team_of(file.name)] * runs
