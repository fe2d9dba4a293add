"""Compare runs: paired randomization tests topic by topic, wins and losses; or novelty over a folder of runs.

p is two-sided: (c + 1) / (B + 1), c of B random swaps of the runs' values topic by topic giving a mean difference at
least as large as the one observed (Manly, 1997); with few topics all swaps are gone through and p is exact.
Topics that a run does not answer count as 0.
"""

from __future__ import annotations

import json as json_
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avs.cli.options import Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.qrels import Qrels
    from avs.metrics.evaluation import Scores
    from avs.metrics.significance import Randomization

EXAMPLES = """
avs compare old.trec new.trec --qrels avs.qrels.main.tv21
avs compare runs/*.xml --qrels avs.qrels.main.tv21 --measure iP@10 --iterations 100000
avs compare --novelty all-teams/ --qrels avs.qrels.main.tv21
"""

INPUTS, TEST = "Inputs", "Test"
RUN_ID = re.compile(r"[A-Z](?:_[A-Z])+_(?P<team>[A-Za-z0-9][A-Za-z0-9._-]*)\.\d\d_\d+")  # F_M_C_D_TEAM.24_1


def command(
    runs: Annotated[list[Path] | None, typer.Argument(help="Two run files or more: TREC columns or XML.")] = None,
    qrels: Annotated[
        Path, typer.Option("--qrels", help="Judgments: topic 0 shot stratum judgment.", rich_help_panel=INPUTS)
    ] = ...,  # type: ignore[assignment]  # required
    novelty: Annotated[
        Path | None,
        typer.Option(
            "--novelty",
            help="Score novelty over all runs of this folder; teams come from the pid, or the run id in the name.",
            rich_help_panel=INPUTS,
        ),
    ] = None,
    measure: Annotated[str, typer.Option("--measure", help="What is compared.", rich_help_panel=TEST)] = "infAP",
    iterations: Annotated[int, typer.Option("--iterations", help="Random swaps.", rich_help_panel=TEST)] = 10_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the random swaps.", rich_help_panel=TEST)] = 0,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError
    from avs.trecvid.qrels import read_qrels

    if (novelty is not None) == bool(runs) or (runs and len(runs) < 2):
        raise ConfigError("give two runs or more, or --novelty FOLDER", next_step="avs compare A B --qrels QRELS")
    judgments = read_qrels(qrels)
    if novelty is not None:
        data, rows, text_columns = _novelty(novelty, judgments)
        tables = [(rows, text_columns)]
    else:
        data, tables = _tests(runs or [], judgments, measure, iterations, seed)
    if json:
        print(json_.dumps(data, indent=2))
    else:
        _write(tables)


def _tests(
    paths: Sequence[Path], qrels: Qrels, measure: str, iterations: int, seed: int
) -> tuple[dict[str, Any], list[tuple[list[list[str]], int]]]:
    import numpy as np

    from avs.cli.eval import read_runs
    from avs.core.errors import ConfigError
    from avs.metrics.evaluation import Evaluator
    from avs.metrics.measures import parse_measures
    from avs.metrics.significance import randomization_test, wins

    chosen = parse_measures([measure])
    if chosen[0].is_sum:
        raise ConfigError("a count is not compared", got=measure, next_step="compare infAP, iP@10 ...")
    evaluator = Evaluator(qrels, chosen)
    scores = [evaluator.evaluate(columns, name) for name, columns in read_runs(paths, qrels)]
    values = np.array([run.values[:, 0] for run in scores])
    test = randomization_test(values, iterations=iterations, seed=seed)
    won = wins(values)
    pairs = _pairs(scores, values, test, won)
    data = {"measure": measure, "test": _how(test), "pairs": pairs}
    header = ["run", "against", measure, "against's", "difference", "p", "wins", "losses"]
    rows = [header, *([p["run"], p["against"], *map(_cell, list(p.values())[2:8])] for p in pairs)]
    tables = [(rows, 2)]
    if len(scores) == 2:
        tables.append(([["topic", "difference"], *([t, f"{d:+.4f}"] for t, d in pairs[0]["topics"].items())], 1))
    else:
        names = [run.run for run in scores]
        tables.append(([["wins", *names], *([n, *map(str, row)] for n, row in zip(names, won, strict=True))], 1))
    print(f"two-sided paired randomization test over {len(scores[0].topics)} topics, {_how(test)}", file=sys.stderr)
    return data, tables


def _pairs(scores: Sequence[Scores], values: Any, test: Randomization, won: Any) -> list[dict[str, Any]]:
    from avs.metrics.significance import largest_differences

    return [
        {
            "run": scores[i].run,
            "against": scores[j].run,
            "mean": float(values[i].mean()),
            "against_mean": float(values[j].mean()),
            "difference": float(test.differences[i, j]),
            "p": float(test.p_values[i, j]),
            "wins": int(won[i, j]),
            "losses": int(won[j, i]),
            "topics": dict(largest_differences(values[i], values[j], scores[i].topics)),
        }
        for i in range(len(scores))
        for j in range(i + 1, len(scores))
    ]


def _how(test: Randomization) -> str:
    return f"all {test.swaps} swaps (exact)" if test.exact else f"{test.swaps} random swaps"


def _novelty(folder: Path, qrels: Qrels) -> tuple[dict[str, Any], list[list[str]], int]:
    from avs.cli.eval import read_runs
    from avs.core.artifacts import require_path
    from avs.core.errors import DataError, Problems
    from avs.metrics.novelty import TeamRun, novelty
    from avs.trecvid.run_file import read_run_columns

    paths = sorted(
        path
        for path in require_path(folder, what="folder of runs").iterdir()
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(".manifest.json")
    )
    if not paths:
        raise DataError("no run files in the folder", where=folder)
    problems = Problems(f"teams of the runs in {folder}")
    entries = []
    for path in paths:
        teams = _teams(path, len(read_run_columns(path)))
        for (name, columns), team in zip(read_runs([path], qrels), teams, strict=True):
            if team is None:
                problems.add(path, "no team: no pid inside, and the name is not a run id")
            else:
                entries.append(TeamRun(name, team, columns))
    problems.raise_if_any(DataError, next_step="name TREC files by NIST's run id, such as F_M_C_D_TEAM.21_1.trec")
    found = sorted(novelty(entries, qrels), key=lambda n: (-n.score, n.run))
    rows = [["run", "team", "novelty", "unique_shots"]]
    rows += [[n.run, n.team, f"{n.score:.4f}", str(n.unique_shots)] for n in found]
    data = {"runs": [dict(run=n.run, team=n.team, novelty=n.score, unique_shots=n.unique_shots) for n in found]}
    return data, rows, 2


def _teams(path: Path, runs: int) -> list[str | None]:
    """The team of every run in a file: its pid, or what the file's name says."""
    if path.suffix == ".xml":
        from avs.trecvid.run_xml import read_run_xml

        return [run.attributes.get("pid") for run in read_run_xml(path)]
    match = RUN_ID.match(path.name)
    return [match["team"] if match else None] * runs


def _write(tables: Sequence[tuple[list[list[str]], int]]) -> None:
    from avs.metrics.report import aligned, tsv

    terminal = sys.stdout.isatty()
    print("\n".join(aligned(rows, text_columns=left) if terminal else tsv(rows) for rows, left in tables), end="")


def _cell(value: float | int) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"
