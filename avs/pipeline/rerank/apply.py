"""`avs rerank`: evidence for the best candidates of a list on disk, and the list it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import Manifest, fingerprint_input, is_up_to_date, write_artefact
from avs.core.errors import ConfigError, DataError, Problems, UnknownIdError, did_you_mean
from avs.core.features import Features, open_features
from avs.core.list_files import seconds_of_search
from avs.core.progress import Reporter
from avs.core.ranking import RankedList, Run
from avs.core.topic import TopicSet
from avs.features.embedder import load_embedder_for
from avs.pipeline.rerank.judge import Judging, judge_evidence
from avs.rerank import clip_rerank, dual_softmax, k_reciprocal, near_duplicates
from avs.rerank.blend import reranked, top, with_top
from avs.rerank.vectors import candidate_cosines, shot_vectors
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import read_trec, write_trec

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "clip": {"alpha": clip_rerank.ALPHA},
    "dual-softmax": {"alpha": dual_softmax.ALPHA, "temperature": dual_softmax.TEMPERATURE},
    "k-reciprocal": {"alpha": k_reciprocal.ALPHA, "k1": k_reciprocal.K1, "k2": k_reciprocal.K2},
    "near-duplicates": {"policy": "group", "threshold": near_duplicates.THRESHOLD},
    "judge": {"alpha": 0.5},
}
ENCODED = ("clip", "dual-softmax")
WITH_QUERIES = (*ENCODED, "judge")
DEPTH, JUDGED = 1000, 100  # a judge is slow


@dataclass(frozen=True, slots=True)
class RerankOptions:
    """What is to be reranked and how; `parameters` and `depth` as far as they were given.

    Attributes:
        parameters: alpha, temperature, k1, k2, policy, threshold.
        weights: where the store's encoder lies now.
        k: shots a topic.
        judging: of the method judge, which has no store.
    """

    ranked: Path
    topics: Sequence[Path]
    store: Path | None
    method: str
    parameters: Mapping[str, Any]
    depth: int = DEPTH
    other_topics: Sequence[Path] = ()
    narratives: Path | None = None
    query_mode: str | None = None
    weights: str | None = None
    device: str = "cpu"
    k: int = 1000
    judging: Judging | None = None

    def checked(self) -> RerankOptions:
        """These options with the parameters' defaults.

        Raises:
            ConfigError: an unknown method; options that it does not take, all of them; no store.
        """
        if self.method not in DEFAULTS:
            raise ConfigError(
                f'unknown method "{self.method}"{did_you_mean(self.method, DEFAULTS)}', wanted=", ".join(DEFAULTS)
            )
        if self.depth < 1:
            raise ConfigError("--depth must be at least 1", got=self.depth)
        if self.narratives and self.query_mode in (None, "query"):
            raise ConfigError("--narratives: looked at by --query-mode narrative or both", next_step="add it")
        given = [name for name in self.parameters if name not in DEFAULTS[self.method]]
        if self.method != "dual-softmax" and self.other_topics:
            given.append("other-topics")
        said = {} if self.method in WITH_QUERIES else {"query-mode": self.query_mode, "narratives": self.narratives}
        said |= {} if self.method in ENCODED else {"weights": self.weights}
        given += [name for name, value in said.items() if value]
        if given:
            options = ", ".join(f"--{name}" for name in given)
            raise ConfigError(f"{options}: not for --method {self.method}", next_step="leave it out")
        if self.method == "dual-softmax" and not self.other_topics:
            raise ConfigError("--method dual-softmax needs the topics of other years", next_step="--other-topics FILE")
        if self.store is None and self.judging is None:
            raise ConfigError("--store is missing", wanted="a feature store (or BigFile) of the list's shots")
        return replace(self, parameters={**DEFAULTS[self.method], **self.parameters})

    def inputs(self) -> dict[str, Path]:
        """Name of an input -> where it lies."""
        found = {"list": self.ranked} | ({"store": self.store} if self.store else {})
        found |= {f"topics {i}": file for i, file in enumerate(self.topics, start=1)}
        found |= {f"other topics {i}": file for i, file in enumerate(self.other_topics, start=1)}
        return found | ({"narratives": self.narratives} if self.narratives else {})

    def manifest(self, kind: str, config: Mapping[str, Any], reporter: Reporter, **more: Path) -> Manifest:
        """What decides an artefact made with these options."""
        paths = self.inputs() | more
        how = {"method": self.method, "parameters": dict(self.parameters), "depth": self.depth}
        how |= {"query_mode": self.query_mode or "query", "k": self.k}
        inputs = {name: fingerprint_input(path) for name, path in paths.items()}
        if self.judging:
            shots = {shot for one in read_trec(self.ranked).lists.values() for shot in top(one, self.depth)[0]}
            how |= {"judge": self.judging.identity()}
            inputs |= {"pictures": self.judging.pictures_fingerprint(sorted(shots), reporter)}
        return Manifest(kind, how | dict(config), inputs, paths=paths)


def rerank_list(
    options: RerankOptions, output: Path, *, force: bool, reporter: Reporter, **more: Path
) -> dict[str, Any]:
    """Rerank a list, write it with its manifest; returns a summary.

    Args:
        options: checked.
        more: further inputs, for the manifest.

    Raises:
        ConfigError, DataError, UnknownIdError: as `checked`, read_inputs and the methods.
    """
    start = perf_counter()
    manifest = options.manifest("ranked-lists", {}, reporter, **more)
    if is_up_to_date(output, manifest, force=force, reporter=reporter):
        return {"path": str(output), "up_to_date": True}
    run, topics = read_inputs(options)
    if options.method == "near-duplicates":
        store = _open(options, run)
        lists = [_without_repeats(one, store, options) for one in run.lists.values()]
    else:
        alpha = options.parameters["alpha"]
        found = evidence(options, run, topics, reporter)
        lists = [
            reranked(one, some, alpha, limit=options.k) for one, some in zip(run.lists.values(), found, strict=True)
        ]
    return write_lists(lists, output, manifest, since=start, reporter=reporter)


def write_lists(
    lists: Sequence[RankedList], output: Path, manifest: Manifest, *, since: float, reporter: Reporter
) -> dict[str, Any]:
    """Write the reranked list, with the time of all that made it, and say so; returns a summary."""
    seconds, before = perf_counter() - since, seconds_of_search([manifest.paths["list"]])
    counts = {"topics": len(lists), "results": sum(len(one) for one in lists)}
    run = Run({one.topic: one for one in lists}, output.stem)
    whole = replace(manifest, counts=counts, seconds=before + seconds if before else 0.0)
    write_artefact(output, whole, lambda path: write_trec(run, path))
    method = manifest.config["method"]
    reporter.say(f"wrote {output}: {len(lists)} topics reranked by {method}, {seconds:.1f} s")
    reporter.say(f"next: avs eval {output} --qrels QRELS, or avs make-run {output} --topics TOPICS ...")
    return {"path": str(output), "method": method, **counts, "seconds": round(seconds, 3)}


def read_inputs(options: RerankOptions) -> tuple[Run, TopicSet]:
    """The list and its topics, in one order.

    Raises:
        DataError: lists without a topic, topics without a list; all of them.
    """
    topics = read_topics(list(options.topics), narratives=options.narratives)
    run = read_trec(options.ranked, topics=topics.ids)
    problems = Problems(f"{options.ranked} and the topics do not fit together")
    for topic in run.lists:
        if topic not in topics.ids:
            problems.add(f"topic {topic}", "has a list, but stands in no topic file")
    for topic in topics.ids:
        if topic not in run.lists:
            problems.add(f"topic {topic}", "has no list")
    problems.raise_if_any(DataError, next_step="give the topics that the list was made for: --topics")
    return Run({topic: run.lists[topic] for topic in topics.ids}, run.tag), topics


def evidence(options: RerankOptions, run: Run, topics: TopicSet, reporter: Reporter) -> list[np.ndarray]:
    """(N,) evidence for the best candidates of each list, by a method that weighs it by alpha."""
    return [found[0] for found in evidence_grid(options, run, topics, [options.parameters], reporter)]


def evidence_grid(
    options: RerankOptions,
    run: Run,
    topics: TopicSet,
    settings: Sequence[Mapping[str, Any]],
    reporter: Reporter,
) -> list[np.ndarray]:
    """(G, N) evidence for the best candidates of each list by G settings, which differ in the temperature at most."""
    texts = [topic.query(options.query_mode or "query") for topic in topics]
    if options.judging:
        lists = list(run.lists.values())
        judged = judge_evidence(lists, texts, depth=options.depth, judging=options.judging, reporter=reporter)
        return [yes[None] for yes in judged]
    store = _open(options, run)
    parameters = settings[0]
    if options.method == "k-reciprocal":
        vectors_of = (shot_vectors(store, top(one, options.depth)[0]) for one in run.lists.values())
        k1, k2 = parameters["k1"], parameters["k2"]
        return [k_reciprocal.k_reciprocal_evidence(vectors, k1=k1, k2=k2)[None] for vectors in vectors_of]
    others = [t.query(options.query_mode or "query") for file in options.other_topics for t in read_topics(file)]
    encode = load_embedder_for(store.spec, weights=options.weights, device=options.device).encode_texts
    queries = encode(texts)
    if options.method == "clip":
        return [
            clip_rerank.clip_evidence(query, top(one, options.depth)[0], store)[None]
            for query, one in zip(queries, run.lists.values(), strict=True)
        ]
    others = list(dict.fromkeys(others))
    found, vectors = [], encode(others)
    for text, query, one in zip(texts, queries, run.lists.values(), strict=True):
        rest = vectors[[other != text for other in others]]  # a topic that returns is no other topic
        cosines = candidate_cosines(store, top(one, options.depth)[0], np.concatenate([query[None], rest]))
        by_setting = [dual_softmax.dual_softmax_evidence(cosines, temperature=s["temperature"]) for s in settings]
        found.append(np.stack(by_setting))
    return found


def _without_repeats(ranked: RankedList, store: Features, options: RerankOptions) -> RankedList:
    shots, _ = top(ranked, options.depth)
    groups = near_duplicates.near_duplicate_groups(
        shot_vectors(store, shots), threshold=options.parameters["threshold"]
    )
    scores = near_duplicates.near_duplicate_scores(groups, options.parameters["policy"])
    return with_top(ranked, scores, limit=options.k)


def _open(options: RerankOptions, run: Run) -> Features:
    """The store, which has all candidates.

    Raises:
        UnknownIdError: it lacks some; all of them are named.
    """
    store = open_features(options.store)
    has = set(store.ids)
    wanted = dict.fromkeys(shot for one in run.lists.values() for shot in top(one, options.depth)[0])
    missing = [shot for shot in wanted if shot not in has]
    problems = Problems(f"{len(missing)} of {len(wanted)} candidates have no vector in {options.store}")
    for shot in missing:
        problems.add(shot, "not in the store")
    problems.raise_if_any(UnknownIdError, next_step="extract their features, or rerank a list of the store's shots")
    return store
