"""`avs rerank`: evidence for the best shots of a list on disk, and the reranked list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import Manifest, is_up_to_date, write_artefact
from avs.core.errors import ConfigError, DataError, Problems, UnknownIdError, typed
from avs.core.features import Features, open_features
from avs.core.list_files import seconds_of_search
from avs.core.progress import Reporter
from avs.core.ranking import RankedList, Run
from avs.core.topic import TopicSet
from avs.features.embedder import load_embedder_for, require_text_side
from avs.features.family import quiet_transformers
from avs.pipeline import encoders  # noqa: F401 (it files trained models as encoders)
from avs.pipeline.rerank.options import RerankOptions
from avs.reranking.blend import reranked, with_top
from avs.reranking.material import Material, TopicCandidates
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import read_trec, write_trec


def rerank_list(options: RerankOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Rerank a list and write it; returns a summary.

    Args:
        options: checked.

    Raises:
        ConfigError, DataError, UnknownIdError: see read_inputs and the methods.
    """
    start = perf_counter()
    if options.output is None:
        raise ConfigError("-o is missing", wanted="lists/reranked.trec")
    fitted = {"model": options.reranker} if options.reranker else {}
    manifest = options.manifest("ranked-lists", {}, reporter, fitted)
    if is_up_to_date(options.output, manifest, force=options.force, reporter=reporter):
        return {"path": str(options.output), "up_to_date": True}
    reranked_run = rerank_run(options, *read_inputs(options), reporter=reporter)
    return write_lists(list(reranked_run.lists.values()), options.output, manifest, since=start, reporter=reporter)


def rerank_run(options: RerankOptions, run: Run, topics: TopicSet | None, *, reporter: Reporter) -> Run:
    """The lists of a run in a better order; nothing is read from `options.ranked`, and nothing is written.

    Args:
        options: checked.
        topics: topics of the lists, for a method that needs them.

    Raises:
        ConfigError, DataError, UnknownIdError: see the methods.
    """
    evidence = evidence_grid(options, run, topics, [options.parameters], reporter)
    lists = [rerank_one(options, one, rows[0]) for one, rows in zip(run.lists.values(), evidence, strict=True)]
    return Run({one.topic: one for one in lists}, run.tag)


def rerank_one(options: RerankOptions, ranked: RankedList, evidence: np.ndarray) -> RankedList:
    """A list reranked by (N,) evidence for its best shots."""
    if options.entry.alpha is None:
        return with_top(ranked, evidence, limit=options.k)
    return reranked(ranked, evidence, options.parameters["alpha"], limit=options.k)


def write_lists(
    lists: Sequence[RankedList], output: Path, manifest: Manifest, *, since: float, reporter: Reporter
) -> dict[str, Any]:
    """Write the reranked list, with the time that searches and reranking took; returns a summary."""
    seconds, of_search = perf_counter() - since, seconds_of_search([manifest.paths["list"]])
    counts = {"topics": len(lists), "results": sum(len(one) for one in lists)}
    run = Run({one.topic: one for one in lists}, output.stem)
    complete = replace(manifest, counts=counts, seconds=of_search + seconds if of_search else 0.0)
    write_artefact(output, complete, lambda path: write_trec(run, path))
    method = manifest.config["method"]
    reporter.say(f"wrote {output}: {len(lists)} topics reranked by {method}, {seconds:.1f} s")
    reporter.suggest(f"avs eval {typed(output)} --qrels QRELS, or avs make-run {typed(output)} --topics TOPICS ...")
    return {"path": str(output), "method": method, **counts, "seconds": round(seconds, 3)}


def read_inputs(options: RerankOptions) -> tuple[Run, TopicSet | None]:
    """The list and its topics, in one order; without --topics the list alone.

    Raises:
        DataError: a list has no topic, or a topic has no list; names all of them.
    """
    if not options.topics:
        return read_trec(options.ranked), None
    topics = read_topics(list(options.topics), narratives=options.narratives)
    run = read_trec(options.ranked, topics=topics.ids)
    problems = Problems(f"{options.ranked} and the topics do not fit together")
    for topic in run.lists:
        if topic not in topics.ids:
            problems.add(f"topic {topic}", "has a list, but is in no topic file")
    for topic in topics.ids:
        if topic not in run.lists:
            problems.add(f"topic {topic}", "has no list")
    problems.raise_if_any(DataError, next_step="give the topics that the list was made for: --topics")
    return Run({topic: run.lists[topic] for topic in topics.ids}, run.tag), topics


def evidence_grid(
    options: RerankOptions,
    run: Run,
    topics: TopicSet | None,
    settings: Sequence[Mapping[str, Any]],
    reporter: Reporter,
) -> list[np.ndarray]:
    """(G, N) evidence for the best shots of each list, with each of G settings.

    Args:
        topics: topics of the lists, for a method that needs them.
        settings: values of all parameters.

    Raises:
        ConfigError, DataError, UnknownIdError, VideoError: see the methods.
    """
    material = _material(options, run, topics, reporter)
    own = options.entry.parameters
    with quiet_transformers() if options.judging else nullcontext():
        by_setting = [options.entry.evidence(material, **{name: one[name] for name in own}) for one in settings]
    return [np.stack(rows) for rows in zip(*by_setting, strict=True)]


def _material(options: RerankOptions, run: Run, topics: TopicSet | None, reporter: Reporter) -> Material:
    """What the method looks at, opened as far as it needs it."""
    lists = list(run.lists.values())
    mode = options.query_mode or "query"
    texts = [topics.get(one.topic).query(mode) for one in lists] if topics else [""] * len(lists)
    store = _open_store(options.store, options, lists) if options.store else None
    queries: Sequence[np.ndarray | None] = [None] * len(lists)
    others: Sequence[np.ndarray | None] = queries
    if store and options.needs("encoder"):
        require_text_side(store.spec, where=store.folder)
        weights = options.weights[0] if options.weights else None
        encode = load_embedder_for(store.spec, weights=weights, device=options.device).encode_texts
        queries = list(encode(texts))
        if options.needs("other topics"):
            other_texts = list(dict.fromkeys(t.query(mode) for file in options.other_topics for t in read_topics(file)))
            vectors = encode(other_texts)
            others = [
                vectors[[other != text for other in other_texts]] for text in texts
            ]  # a repeated topic is left out
    shots = [options.best(one) for one in lists]
    candidates = [
        TopicCandidates(one.topic, *of_topic)
        for one, *of_topic in zip(lists, shots, texts, [store] * len(lists), queries, others, strict=True)
    ]
    return Material(candidates, reporter, options.judging, options.scoring)


def _open_store(folder: Path, options: RerankOptions, lists: Sequence[RankedList]) -> Features:
    """The store, which must have all candidates.

    Raises:
        UnknownIdError: the store lacks candidates; names all of them.
    """
    store = open_features(folder)
    known = set(store.ids)
    shots = dict.fromkeys(shot for one in lists for shot in options.best(one))
    missing = [shot for shot in shots if shot not in known]
    problems = Problems(f"{len(missing)} of {len(shots)} candidates have no vector in {folder}")
    for shot in missing:
        problems.add(shot, "not in the store")
    problems.raise_if_any(UnknownIdError, next_step="extract their features, or rerank a list of the store's shots")
    return store
