"""Compare runs by paired randomization tests over topics, with wins and losses; or score novelty over a folder of runs.

p is two-sided: (c + 1) / (B + 1), where c of B random swaps of the runs' values per topic give a mean difference at
least as large as the one observed (Manly, 1997). With few topics, all swaps are tried and p is exact.
A topic that a run does not answer counts as 0.
"""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avs.cli.options import INPUTS, Debug, Json, Qrels, Quiet, Seed

if TYPE_CHECKING:
    from avs.metrics.novelty import Novelty
    from avs.pipeline.comparison import RunComparison

EXAMPLES = """
avs compare old.trec new.trec --qrels avs.qrels.main.tv21
avs compare runs/*.xml --qrels avs.qrels.main.tv21 --measure iP@10 --iterations 100000
avs compare --novelty all-teams/ --qrels avs.qrels.main.tv21
"""

TEST = "Test"

OptionalRuns = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUNS", help="Two or more run files: NIST's XML, or TREC's six columns."),
]
NoveltyFolder = Annotated[
    Path | None,
    typer.Option(
        "--novelty",
        help="Score novelty over all runs of this folder. A run's team is its pid, or part of the run id in its name.",
        rich_help_panel=INPUTS,
    ),
]
ComparedMeasure = Annotated[str, typer.Option("--measure", help="Measure to compare.", rich_help_panel=TEST)]
Iterations = Annotated[int, typer.Option("--iterations", help="Number of random swaps.", rich_help_panel=TEST)]


def command(
    runs: OptionalRuns = None,
    qrels: Qrels = ...,  # type: ignore[assignment]  # required
    novelty: NoveltyFolder = None,
    measure: ComparedMeasure = "infAP",
    iterations: Iterations = 10_000,
    seed: Seed = 0,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError
    from avs.core.progress import Reporter
    from avs.pipeline.comparison import compare, novelty_of_folder
    from avs.pipeline.evaluation import read_runs
    from avs.trecvid.qrels import read_qrels

    if (novelty is not None) == bool(runs) or (runs and len(runs) < 2):
        raise ConfigError("give two runs or more, or --novelty FOLDER", next_step="avs compare A B --qrels QRELS")
    judgments = read_qrels(qrels)
    if novelty is not None:
        data, tables = _novelty(novelty_of_folder(novelty, judgments))
    else:
        named = read_runs(runs or [], judgments)
        comparison = compare(named, judgments, measure, iterations=iterations, seed=seed)
        topics, swaps = len(comparison.topics), comparison.test.swaps_used
        Reporter(quiet=quiet).say(f"two-sided paired randomization test over {topics} topics, {swaps}")
        data, tables = _tests(comparison)
    print(json_.dumps(data, indent=2) + "\n" if json else "\n".join(map(_text, tables)), end="")


Table = tuple[list[list[str]], int]  # rows, the header first; and how many columns are text


def _tests(comparison: RunComparison) -> tuple[dict[str, Any], list[Table]]:
    data = {
        "measure": comparison.measure,
        "test": comparison.test.swaps_used,
        "pairs": [asdict(pair) for pair in comparison.pairs],
    }
    rows = [["run", "against", comparison.measure, "against's", "difference", "p", "wins", "losses"]]
    for pair in comparison.pairs:
        numbers = (pair.mean, pair.against_mean, pair.difference, pair.p)
        rows.append([pair.run, pair.against, *(f"{n:.4f}" for n in numbers), str(pair.wins), str(pair.losses)])
    if len(comparison.runs) == 2:
        topics = [[topic, f"{value:+.4f}"] for topic, value in comparison.pairs[0].topics.items()]
        return data, [(rows, 2), ([["topic", "difference"], *topics], 1)]
    matrix = [[run, *map(str, row)] for run, row in zip(comparison.runs, comparison.wins, strict=True)]
    return data, [(rows, 2), ([["wins", *comparison.runs], *matrix], 1)]


def _novelty(runs: Sequence[Novelty]) -> tuple[dict[str, Any], list[Table]]:
    data = [dict(run=n.run, team=n.team, novelty=n.score, unique_shots=n.unique_shots) for n in runs]
    rows = [[n.run, n.team, f"{n.score:.4f}", str(n.unique_shots)] for n in runs]
    return {"runs": data}, [([["run", "team", "novelty", "unique_shots"], *rows], 2)]


def _text(table: Table) -> str:
    from avs.metrics.report import aligned, tsv

    rows, text_columns = table
    return aligned(rows, text_columns=text_columns) if sys.stdout.isatty() else tsv(rows)
