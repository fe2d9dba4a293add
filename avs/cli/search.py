"""Rank the shots of a collection for every topic: the best 1,000 a topic.

Each --checkpoint, a trained model, gives a list; it finds its features among the stores. Without one each store gives
a list, zero-shot: topics are encoded by the model that made the store, and the score is the cosine. All lists come out
of one pass over the stores. A killed search, run again, goes on. Fusing lists is another step.
"""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.pipeline.search.make_lists import Planned
    from avs.pipeline.search.trained import Moved

EXAMPLES = """
avs search --topics topics.txt --store features/mini-clip/shot -o lists/mini-clip.trec
avs search --topics tv23.xml --store features/clip-vit-b32/shot --store features/blip2-itm-vit-g/frame -o lists/
avs search --topics tv23.xml --store features/clip/shot --store features/blip/shot --checkpoint models/laff -o lists/
avs search --topics tv22.txt --topics tv23.txt --narratives n.txt --query-mode both --store features/clip/shot -o lists/
"""

INPUTS, MODEL, OUTPUT = "Inputs", "Model", "Output"


def command(
    topics: Annotated[
        list[Path], typer.Option("--topics", help="Topic file, text or XML; repeatable.", rich_help_panel=INPUTS)
    ],
    store: Annotated[
        list[Path],
        typer.Option("--store", help="Feature store (or BigFile) to search; repeatable.", rich_help_panel=INPUTS),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The list, X.trec, if there is one; or a folder, where lists are named after their models.",
            rich_help_panel=OUTPUT,
        ),
    ],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", help="Trained model; repeatable, a list each.", rich_help_panel=MODEL),
    ] = None,
    zero_shot: Annotated[
        bool,
        typer.Option(
            "--zero-shot", help="Lists of the stores' own encoders beside the models'.", rich_help_panel=MODEL
        ),
    ] = False,
    narratives: Annotated[
        Path | None, typer.Option(help="File with a narrative for every topic.", rich_help_panel=INPUTS)
    ] = None,
    query_mode: Annotated[
        str, typer.Option(help="What to search with: query, narrative or both.", rich_help_panel=INPUTS)
    ] = "query",
    edition: Annotated[
        str | None, typer.Option(help="tv16 .. tv25, mini: whose ids the topics must be.", rich_help_panel=INPUTS)
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the store's encoder lies now, when it has moved: folder or Hub name, one for each --store.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    word2vec: Annotated[
        Path | None,
        typer.Option(help="Where the word vectors of the models lie now, when moved.", rich_help_panel=MODEL),
    ] = None,
    frame_score: Annotated[
        str | None,
        typer.Option(
            help="A shot's score in a frame-level store: max (default) or mean over its frames.", rich_help_panel=MODEL
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", help="Shots a topic; NIST takes 1000.", rich_help_panel=OUTPUT)] = 1000,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)] = "cpu",
    score_dtype: Annotated[
        str, typer.Option(help="float32, or the coarser bfloat16.", rich_help_panel=RUNTIME)
    ] = "float32",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.artifacts import is_up_to_date
    from avs.core.errors import ConfigError
    from avs.core.features import open_features
    from avs.core.progress import Reporter
    from avs.pipeline.search.make_lists import (
        SearchSettings,
        make_lists,
        plan_checkpoints,
        plan_zero_shot,
        require_different_paths,
        selected_on,
        source_stores,
    )
    from avs.train.checkpoint import read_checkpoint
    from avs.trecvid.topics import read_topics

    reporter = Reporter(quiet=quiet)
    chosen = read_topics(topics, narratives=narratives, edition=edition)
    files = {f"topics {number}": file for number, file in enumerate(topics, start=1)}
    files |= {"narratives": narratives} if narratives else {}
    settings = SearchSettings(k, query_mode, score_dtype, frame_score, device)
    opened = [open_features(folder) for folder in store]
    models = [read_checkpoint(folder) for folder in checkpoint or []]
    if frame_score and models and not zero_shot:
        raise ConfigError("--frame-score is for the stores' own encoders", next_step="leave it out, or add --zero-shot")
    stores = source_stores(opened, by_feature=bool(models))
    ranked_alone = opened if zero_shot or not models else []
    alone = len(ranked_alone) + len(models) == 1
    plans = plan_checkpoints(models, stores, output, settings, files, alone=alone)
    plans += plan_zero_shot(ranked_alone, output, settings, files, alone=alone)
    require_different_paths(plans)
    for warning in selected_on(plans, topics):
        reporter.say(warning)
    todo = [plan for plan in plans if not is_up_to_date(plan.path, plan.manifest, force=force)]
    made = {}
    for plan in plans:
        if plan not in todo:
            reporter.say(f"up to date: {plan.path}")
            made[plan.path] = {"path": str(plan.path), "up_to_date": True}
    if todo:
        moved = _moved(weights, [one.spec.name for one in opened], word2vec)
        summaries = make_lists(
            todo, stores, chosen, settings, moved=moved, state=_state(output, plans), reporter=reporter
        )
        made |= {plan.path: summary for plan, summary in zip(todo, summaries, strict=True)}
        _say_next(todo[0].path, topics, edition, reporter)
    if json:
        ordered = [made[plan.path] for plan in plans]
        print(json_.dumps(ordered if len(ordered) > 1 else ordered[0], indent=2))


def _moved(weights: Sequence[str] | None, encoders: Sequence[str], word2vec: Path | None) -> Moved:
    """Where each store's encoder lies now."""
    from avs.core.errors import ConfigError
    from avs.pipeline.search.trained import Moved

    if weights and len(weights) != len(encoders):
        raise ConfigError("--weights does not fit the stores", got=len(weights), wanted=f"{len(encoders)}, or none")
    return Moved(dict(zip(encoders, weights, strict=True)) if weights else {}, word2vec)


def _state(output: Path, plans: Sequence[Planned]) -> Path:
    """Where a search that takes long keeps what it has found: beside its lists."""
    return plans[0].path.with_name(f".{output.stem if plans[0].path == output else 'search'}.state.npz")


def _say_next(path: Path, topics: Sequence[Path], edition: str | None, reporter: Reporter) -> None:
    files = " ".join(f"--topics {file}" for file in topics)
    reporter.say(
        f"next: avs eval {path} --qrels QRELS, or "
        f"avs make-run {path} {files} --edition {edition or 'EDITION'} --shots TABLE --pid TEAM --priority 1 "
        f'--class F --task M --novelty C --trtype D --desc "..."'
    )
