"""The Python API: what `import avs` offers. Each function is one call of what the verbs call.

read_topics, read_qrels, read_run, open_store      files into values
search, Searcher                                   stores and trained models -> ranked lists
fuse, rerank                                       ranked lists -> better ranked lists
evaluate, compare                                  ranked lists + judgments -> numbers
write_run                                          ranked lists -> a file
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.core.errors import ConfigError
from avs.core.features import Features, open_features
from avs.core.progress import Reporter
from avs.core.ranking import MAX_RESULTS, Run
from avs.core.topic import TopicSet
from avs.pipeline.comparison import compare
from avs.pipeline.evaluation import evaluate
from avs.trecvid import topics as topic_files
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run

if TYPE_CHECKING:
    from avs.pipeline.run_files import RunFile
    from avs.pipeline.search.searcher import Searcher as Searcher

__all__ = [
    "Searcher", "compare", "evaluate", "fuse", "open_store", "read_qrels", "read_run", "read_topics", "rerank",
    "search", "write_run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "Searcher":  # needs torch, which evaluation does not
        from avs.pipeline.search.searcher import Searcher

        return Searcher
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def read_topics(*files: Path | str, narratives: Path | str | None = None, edition: str | None = None) -> TopicSet:
    """The topics of one or more files, text or XML.

    Args:
        narratives: file with a narrative for every topic.
        edition: "tv16" to "tv25" or "mini": the edition the topics must belong to.

    Raises:
        FormatError: a file is not a topic file, or a topic id occurs twice.
    """
    return topic_files.read_topics(
        [Path(file) for file in files], narratives=Path(narratives) if narratives else None, edition=edition
    )


def open_store(folder: Path | str) -> Features:
    """The feature store or BigFile in a folder, memory-mapped.

    Raises:
        StoreError: the folder holds neither, or is not complete.
    """
    return open_features(Path(folder))


def search(
    systems: Sequence[Path | str],
    question: TopicSet | str,
    *,
    stores: Sequence[Path | str] = (),
    k: int = MAX_RESULTS,
    query_mode: str = "query",
    frame_score: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[str, Run]:
    """The `k` best shots per topic, by each system. To ask more than once, keep a Searcher.

    Args:
        systems: folders of feature stores, each searched with its own encoder, and of trained models.
        question: topics, or one sentence, which becomes a topic with the id "query".
        stores: more stores, in which the trained models find their features.
        query_mode: search with the "query", the "narrative" or "both".
        frame_score: "max" (default) or "mean": a shot's score in a frame-level store, from the scores of its frames.
        device: "cpu", "cuda" or "cuda:N".
        dtype: "float32" or the coarser "bfloat16", of the products with the shots.

    Returns:
        Name of a system -> its run. A store features/clip/shot is called "clip-shot", a model models/laff "laff".

    Raises:
        AvsError: as Searcher.open and Searcher.search.
    """
    from avs.pipeline.search.searcher import Searcher

    searcher = Searcher.open(systems, stores=stores, frame_score=frame_score, device=device, dtype=dtype)
    return searcher.search(question, k=k, query_mode=query_mode)


def fuse(
    runs: Mapping[str, Run] | Sequence[Run],
    method: str = "average",
    *,
    normalize: str = "minmax",
    missing: str = "minimum",
    weights: Mapping[str, float] | None = None,
    depth: int = 2000,
    k: int = MAX_RESULTS,
    partial: bool = False,
) -> Run:
    """Several runs as one.

    Args:
        runs: by name; or runs whose tags differ.
        method: a method that learns nothing, such as "average", "rrf", "combmnz", "borda" or "weighted"; or the folder
            of a fuser that `avs fuse --qrels --fuser FOLDER` has learned.
        normalize: "minmax", "zscore", "rank" or "reciprocal-rank".
        missing: the score of a shot that a list does not contain: the "minimum" of the list, or "absent" for none.
        weights: run -> weight, for method "weighted".
        depth: number of best shots taken from each list.
        k: number of shots per topic.
        partial: whether a run may lack a topic.

    Raises:
        ConfigError: an unknown method, or one that learns; two runs of one name; a run that the fuser needs is missing.
        DataError: a run lacks a topic, and `partial` is off.
    """
    from avs.fusion.artefact import read_fuser
    from avs.fusion.fuser import fuse as fuse_pools
    from avs.fusion.normalize import Scale
    from avs.fusion.plan import FusionPlan
    from avs.fusion.pool import pool_runs

    named = dict(runs) if isinstance(runs, Mapping) else {run.tag: run for run in runs}
    if len(named) < len(runs):
        raise ConfigError("two runs have the same tag", next_step="give them by name: {name: run}")
    pools = pool_runs(named, depth=depth, partial=partial)
    if Path(method).is_dir():
        return fuse_pools(read_fuser(Path(method)), pools, tag=Path(method).resolve().name, limit=k)
    plan = FusionPlan(method, Scale(normalize, missing), {}, "average", dict(weights or {}))
    return fuse_pools(plan.fuser(list(named)), pools, tag=method, limit=k)


def rerank(
    run: Run,
    topics: TopicSet | None,
    method: str,
    *,
    store: Path | str | Sequence[Path | str] | None = None,
    checkpoint: Path | str | None = None,
    depth: int | None = None,
    k: int = MAX_RESULTS,
    device: str = "cpu",
    **parameters: Any,
) -> Run:
    """The best shots of a run in a better order.

    Args:
        topics: topics of the run; None: for a method that does not look at them.
        method: such as "clip", "k-reciprocal" or "near-duplicates".
        store: feature store of the run's shots; several for a trained model that reads several.
        checkpoint: trained model, for the method "model".
        depth: number of shots to rerank; None: the method's default.
        k: number of shots per topic.
        parameters: alpha and the parameters of the method, as `avs rerank --help` lists them.

    Raises:
        ConfigError: an unknown method or parameter, or one that lacks what it needs.
        UnknownIdError: the store lacks shots of the run.
    """
    from avs.pipeline.rerank.apply import rerank_run
    from avs.pipeline.rerank.options import RerankOptions

    stores = [store] if isinstance(store, Path | str) else store or ()
    options = RerankOptions(
        ranked=Path(),
        method=method,
        fixed=parameters,
        stores=[Path(folder) for folder in stores],
        checkpoint=Path(checkpoint) if checkpoint else None,
        depth=depth,
        k=k,
        device=device,
    ).checked(topics_in_memory=topics is not None)
    return rerank_run(options, run, topics, reporter=Reporter())


def write_run(
    run: Run,
    output: Path | str,
    *,
    edition: str | None = None,
    topics: Sequence[Path | str] = (),
    shots: Path | str | None = None,
    attributes: Mapping[str, str] | None = None,
    elapsed: float | None = None,
    force: bool = False,
) -> Path:
    """Write a run, and return its path.

    Without `edition`: as TREC columns, to the file `output`. With `edition`: as the XML run file that NIST takes,
    checked, into the folder `output`; the file is named by NIST's run id.

    Args:
        edition: "tv16" to "tv25", "mini" or "custom".
        topics: topic files of the run; each of their topics must have a list.
        shots: the shots that exist: NIST's validShotTable, a shot table, or a list of shot ids.
        attributes: such as {"pid": "TEAM", "priority": "1", "class": "F", "task": "M", "novelty": "C", "trType": "D",
            "desc": "..."}.
        elapsed: seconds per topic.
        force: replace a file that was made from other inputs.

    Raises:
        ConfigError: XML without topics or shots; attributes that do not fit the edition.
        FormatError: the run would not pass `avs check-run`.
    """
    if edition is None:
        from avs.trecvid.trec import write_trec

        write_trec(run, Path(output))
        return Path(output)
    if not topics or shots is None:
        raise ConfigError("a run file for NIST needs topics and shots", got=f"topics={list(topics)}, shots={shots}")
    from avs.pipeline.run_files import write_run as write_xml

    written: RunFile = write_xml(
        run,
        Path(output),
        edition=edition,
        topics=[Path(file) for file in topics],
        shots=Path(shots),
        attributes=dict(attributes or {}),
        elapsed=elapsed,
        force=force,
    )
    return written.path
