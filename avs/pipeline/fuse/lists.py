"""Lists on disk as pools: those of the topics at hand, and those of past topics under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from avs.core.errors import ConfigError, DataError, Problems
from avs.core.list_files import list_name
from avs.core.ranking import Run
from avs.fusion.fuser import Pools
from avs.trecvid.run_file import read_run


def name_lists(files: Sequence[Path]) -> dict[str, Path]:
    """Name -> file.

    Raises:
        ConfigError: two lists of one name; a folder.
    """
    by_name: dict[str, Path] = {}
    for file in files:
        name = list_name(file)
        if file.is_dir():
            raise ConfigError("a folder, not a list", where=file, next_step=f"give its lists: {file}/*.trec")
        if name in by_name:
            raise ConfigError(f'two lists are called "{name}"', got=f"{by_name[name]} and {file}")
        by_name[name] = file
    return by_name


def read_lists(
    files: Sequence[Path], past: Sequence[Path], *, known: Iterable[str] | None = None
) -> tuple[dict[str, Run], tuple[str, ...]]:
    """Name -> its lists, those of past topics among them; and the topics that are not from a past folder.

    Args:
        files: lists, named as `list_name` says.
        past: folders that hold lists of the same names over other topics; of each list one of them at least.
        known: topic ids, which let files carry the leading "1" of the qrels.

    Raises:
        ConfigError: two lists of one name; no past folder has one.
        DataError: a topic both in a list and in its past.
    """
    by_name = name_lists(files)
    runs = {name: read_run(file, topics=known) for name, file in by_name.items()}
    own = tuple(dict.fromkeys(topic for run in runs.values() for topic in run.topics))
    problems = Problems("past lists")
    for name, file in by_name.items():
        others = [folder / file.name for folder in past if (folder / file.name).is_file()]
        if past and not others:
            problems.add(name, f"no {file.name} in {', '.join(map(str, past))}; it needs its past under the same name")
        for other in others:
            before = read_run(other, topics=known)
            twice = [topic for topic in before.topics if topic in runs[name].lists]
            if twice:
                problems.add(other, f"topic {twice[0]} is in another list called {name} as well")
            runs[name] = Run({**runs[name].lists, **before.lists}, name)
    problems.raise_if_any(DataError)
    return runs, own


def pools_of(pools: Pools, topics: Sequence[str], *, what: str) -> Pools:
    """The pools of these topics.

    Raises:
        DataError: naming all topics that the lists do not have.
    """
    missing = [topic for topic in topics if topic not in pools]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{what} that the lists do not have",
            got=f"topics {', '.join(missing[:5])}{more}",
            wanted=f"topics {', '.join(list(pools)[:5])}{' ...' if len(pools) > 5 else ''}",
            next_step="search for them as well (avs search --topics, --past), or choose others (--fit-on)",
        )
    return {topic: pools[topic] for topic in topics}
