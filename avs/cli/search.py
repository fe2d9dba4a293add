"""Rank the shots of a feature store for every topic: exact cosine similarity, the best 1,000 a topic.

Topics are encoded by the model that made the store. Several stores are searched in one pass and give a list each;
fusing them is another step.
"""

from __future__ import annotations

import json as json_
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    import numpy as np

    from avs.core.artifacts import Manifest
    from avs.core.progress import Reporter
    from avs.core.ranking import RankedList
    from avs.core.spec import EmbedderSpec
    from avs.core.store import FeatureStore
    from avs.core.topic import TopicSet

EXAMPLES = """
avs search --topics topics.txt --store features/mini-clip/shot -o lists/mini-clip.trec
avs search --topics tv23.xml --store features/clip-vit-b32/shot --store features/blip2-itm-vit-g/frame -o lists/
avs search --topics tv22.txt --topics tv23.txt --narratives n.txt --query-mode both --store features/clip/shot -o lists/
"""

INPUTS, MODEL, OUTPUT = "Inputs", "Model", "Output"


@dataclass(frozen=True, slots=True)
class Planned:
    """A list to be made: from which store, with which encoder weights, and where it goes."""

    store: FeatureStore
    weights: str | None
    path: Path
    manifest: Manifest


def command(
    topics: Annotated[
        list[Path], typer.Option("--topics", help="Topic file, text or XML; repeatable.", rich_help_panel=INPUTS)
    ],
    store: Annotated[
        list[Path],
        typer.Option("--store", help="Feature store to search; repeatable, a list each.", rich_help_panel=INPUTS),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The list, X.trec, of one store; or a folder, where lists are named after their stores.",
            rich_help_panel=OUTPUT,
        ),
    ],
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
    from avs.core.artifacts import fingerprint_input, is_up_to_date
    from avs.core.progress import Reporter
    from avs.trecvid.topics import read_topics

    reporter = Reporter(quiet=quiet)
    chosen = read_topics(topics, narratives=narratives, edition=edition)
    queries = [topic.query(query_mode) for topic in chosen]
    inputs = {f"topics {number}": fingerprint_input(file) for number, file in enumerate(topics, start=1)}
    inputs |= {"narratives": fingerprint_input(narratives)} if narratives else {}
    config = {"k": k, "query_mode": query_mode, "score_dtype": score_dtype}
    plans = _plan(store, weights, output, frame_score, config=config, inputs=inputs)
    todo = [plan for plan in plans if not is_up_to_date(plan.path, plan.manifest, force=force)]
    made = {}
    for plan in plans:
        if plan not in todo:
            reporter.say(f"up to date: {plan.path}")
            made[plan.path] = {"path": str(plan.path), "up_to_date": True}
    if todo:
        vectors = _encode(todo, queries, device)
        made |= _search(todo, chosen, vectors, _state(output, plans), device=device, reporter=reporter)
        _say_next(todo[0].path, topics, edition, reporter)
    if json:
        summaries = [made[plan.path] for plan in plans]
        print(json_.dumps(summaries if len(summaries) > 1 else summaries[0], indent=2))


def _plan(
    folders: Sequence[Path],
    weights: Sequence[str] | None,
    output: Path,
    frame_score: str | None,
    *,
    config: Mapping[str, object],
    inputs: Mapping[str, str],
) -> list[Planned]:
    """The lists to make, all checked before any work begins."""
    from avs.core.artifacts import Manifest, require_path
    from avs.core.errors import ConfigError
    from avs.core.store import FeatureStore

    if weights and len(weights) != len(folders):
        raise ConfigError("--weights does not fit the stores", got=len(weights), wanted=f"{len(folders)}, or none")
    stores = [FeatureStore(require_path(folder, what="feature store")) for folder in folders]
    plans = []
    for number, store in enumerate(stores):
        _require_known(store)
        if frame_score and store.level == "shot":
            raise ConfigError("--frame-score is for frame-level stores", where=store.folder, got="a shot-level store")
        by_level = {"frame_score": frame_score or "max"} if store.level == "frame" else {}
        manifest = Manifest(
            type="ranked-lists",
            config={**config, **by_level},
            inputs={**inputs, "store": store.manifest["fingerprint"], "shots": store.fingerprint},
            spec=store.spec.to_json(),
        )
        path = _path(output, store, alone=len(stores) == 1)
        plans.append(Planned(store, weights[number] if weights else None, path, manifest))
    paths = [plan.path for plan in plans]
    if len(set(paths)) < len(paths):
        raise ConfigError("two stores would write the same list", got=max(paths, key=paths.count))
    return plans


def _require_known(store: FeatureStore) -> None:
    from avs.core.errors import ConfigError
    from avs.features.catalog import CATALOG, read_catalog

    if store.spec.name not in read_catalog():
        raise ConfigError(
            "the store was made by a model that the catalog does not know",
            where=store.folder,
            got=f'model "{store.spec.name}"',
            wanted=", ".join(read_catalog()),
            next_step=f"add its entry to {CATALOG}, or search a store of a model that is there",
        )


def _path(output: Path, store: FeatureStore, *, alone: bool) -> Path:
    """features/mini-clip/shot gives OUTPUT/mini-clip-shot.trec, unless OUTPUT is the file of a single store."""
    from avs.core.errors import ConfigError

    if output.suffix and not output.is_dir():
        if alone:
            return output
        raise ConfigError("several stores need a folder to write to", got=f"-o {output}")
    folder = store.folder.resolve()
    return output / f"{folder.parent.name}-{folder.name}.trec"


def _state(output: Path, plans: Sequence[Planned]) -> Path:
    """Where a search that takes long keeps what it has found: beside its lists."""
    return plans[0].path.with_name(f".{output.stem if plans[0].path == output else 'search'}.state.npz")


def _encode(plans: Sequence[Planned], queries: Sequence[str], device: str) -> dict[EmbedderSpec, np.ndarray]:
    """The (T, D) queries in the space of every store; each encoder is loaded once."""
    from avs.features.embedder import load_embedder_for

    encoded: dict[EmbedderSpec, np.ndarray] = {}
    for plan in plans:
        if plan.store.spec not in encoded:
            embedder = load_embedder_for(plan.store.spec, weights=plan.weights, device=device)
            encoded[plan.store.spec] = embedder.encode_texts(queries)
    return encoded


def _search(
    plans: Sequence[Planned],
    topics: TopicSet,
    queries: Mapping[EmbedderSpec, np.ndarray],
    state: Path,
    *,
    device: str,
    reporter: Reporter,
) -> dict[Path, dict[str, object]]:
    """Search all stores in one pass and write their lists; returns their summaries by path."""
    from avs.search.blocks import BlockSource
    from avs.search.cosine import CosineScorer
    from avs.search.score import search

    start = time.perf_counter()
    config = plans[0].manifest.config
    source = BlockSource(
        {str(plan.store.folder): plan.store for plan in plans}, device=device, dtype=config["score_dtype"]
    )
    scorers = [
        CosineScorer(
            plan.path.stem,
            queries[plan.store.spec],
            topics=topics.ids,
            store=plan.store,
            feature=str(plan.store.folder),
            query_spec=plan.store.spec,  # load_embedder_for has compared it with the encoder's
            frame_score=plan.manifest.config.get("frame_score", "max"),
        )
        for plan in plans
    ]
    found = search(scorers, topics.ids, source, k=config["k"], reporter=reporter, state=state)
    seconds = time.perf_counter() - start
    return {plan.path: _write(plan, found[plan.path.stem], seconds, reporter) for plan in plans}


def _write(plan: Planned, lists: Sequence[RankedList], seconds: float, reporter: Reporter) -> dict[str, object]:
    """Write the list of a store and the manifest beside it, and say so."""
    from dataclasses import replace

    from avs.core.artifacts import write_artefact
    from avs.core.ranking import Run
    from avs.trecvid.trec import write_trec

    run = Run({ranked.topic: ranked for ranked in lists}, plan.path.stem)
    counts = {"topics": len(lists), "shots": len(plan.store), "results": sum(len(ranked) for ranked in lists)}
    manifest = replace(plan.manifest, counts=counts, seconds=seconds)
    write_artefact(plan.path, manifest, lambda path: write_trec(run, path))
    best = f"the best {len(lists[0])} of {len(plan.store)} shots for {len(lists)} topics"
    reporter.say(f"wrote {plan.path}: {best}, {seconds:.1f} s")
    return {"path": str(plan.path), "model": plan.store.spec.name, **counts, "seconds": round(seconds, 3)}


def _say_next(path: Path, topics: Sequence[Path], edition: str | None, reporter: Reporter) -> None:
    files = " ".join(f"--topics {file}" for file in topics)
    reporter.say(
        f"next: avs eval {path} --qrels QRELS, or "
        f"avs make-run {files} --ranked {path} --edition {edition or 'EDITION'} --shots TABLE --pid TEAM --priority 1 "
        f'--class F --task M --novelty C --trtype D --desc "..."'
    )
