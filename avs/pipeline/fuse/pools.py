"""Lists on disk as pools of candidates: those of the topics to fuse, and those of past topics under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from avs.core.errors import ConfigError, DataError, Problems
from avs.core.ids import some
from avs.core.list_files import list_name
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.core.topic import TopicSet
from avs.fusion.fuser import Pools
from avs.fusion.pool import DEFAULT_DEPTH, pool_runs
from avs.pipeline.fuse.options import RECOMPUTED, FusionOptions, name_lists
from avs.trecvid.run_file import read_run
from avs.trecvid.topics import read_topics


def read_pools(
    options: FusionOptions, reporter: Reporter, *, judged: Sequence[str] = ()
) -> tuple[Pools, tuple[str, ...]]:
    """The candidates of all topics, with recomputed scores if the options say so; and the topics of the lists given.

    Args:
        judged: ids of the topics that are learned from, or were.

    Returns:
        Topic -> its pool, past topics among them; and the topics that are in no --past folder.

    Raises:
        ConfigError, DataError, FormatError: see read_lists, pool_runs, open_rescorers and recompute.
    """
    known = [*submitted_topics(options), *judged]
    runs, own = read_lists(options.lists, options.past, known=known or None)
    pools = pool_runs(runs, depth=options.depth or DEFAULT_DEPTH, partial=options.partial)
    return (_recomputed(pools, options, reporter) if options.missing == RECOMPUTED else pools), own


def submitted_topics(options: FusionOptions) -> tuple[str, ...]:
    """Ids of the topics of --topics, which are to be fused; none without --topics."""
    return read_topics(list(options.topics)).ids if options.topics else ()


def read_lists(
    files: Sequence[Path], past: Sequence[Path], *, known: Iterable[str] | None = None
) -> tuple[dict[str, Run], tuple[str, ...]]:
    """Name -> its lists, including those of past topics; and the topics that are in no past folder.

    Args:
        files: lists, named by `list_name`.
        past: folders with lists of the same names over other topics; each list must be in at least one of them.
        known: topic ids, which let files have the leading "1" of the qrels.

    Raises:
        ConfigError: two lists have the same name.
        DataError: no past folder has a list, or a topic is both in a list and in its past.
    """
    by_name = name_lists(files)
    runs = {name: read_run(file, topics=known) for name, file in by_name.items()}
    own = tuple(dict.fromkeys(topic for run in runs.values() for topic in run.topics))
    problems = Problems("past lists")
    for name, file in by_name.items():
        others = [folder / file.name for folder in past if (folder / file.name).is_file()]
        if past and not others:
            problems.add(name, f"no {file.name} in {', '.join(map(str, past))}; past lists have the same names")
        for other in others:
            run = read_run(other, topics=known)
            repeated = [topic for topic in run.topics if topic in runs[name].lists]
            if repeated:
                problems.add(other, f"topic {repeated[0]} is in another list called {name} too")
            runs[name] = Run({**runs[name].lists, **run.lists}, name)
    problems.raise_if_any(DataError)
    return runs, own


def pools_of(pools: Pools, topics: Sequence[str], *, what: str) -> Pools:
    """The pools of these topics.

    Raises:
        DataError: the lists lack some of the topics; names them.
    """
    missing = [topic for topic in topics if topic not in pools]
    if missing:
        raise DataError(
            f"{what} that the lists do not have",
            got=f"topics {some(missing)}",
            wanted=f"topics {some(list(pools))}",
            next_step="search for them too (avs search --topics, --past), or choose others (--fit-on)",
        )
    return {topic: pools[topic] for topic in topics}


def _recomputed(pools: Pools, options: FusionOptions, reporter: Reporter) -> Pools:
    from avs.pipeline.fuse.rescore import open_rescorers, recompute  # imports torch

    files = [*options.topics, *options.past_topics]
    if options.past or options.partial or not files:
        raise ConfigError(
            "--missing recomputed needs the sentences of the topics, and takes neither --past nor --partial",
            next_step="give the topic files of the lists: --topics, and --past-topics for the topics learned from",
        )
    sentences = read_topics(files, narratives=options.narratives)
    by = open_rescorers(
        {list_name(file): file for file in options.lists},
        TopicSet(sentences.get(topic) for topic in pools),
        stores=options.stores,
        checkpoints=options.checkpoints,
        device=options.device,
    )
    return recompute(pools, by, reporter=reporter)
