"""Lists on disk as pools: those of the topics at hand, and those of past topics under the same names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avs.core.artifacts import manifest_path, read_manifest
from avs.core.errors import ConfigError, DataError, Problems
from avs.core.ranking import Run
from avs.fusion.fuser import Pools
from avs.trecvid.run_file import read_run


def read_lists(files: Sequence[Path], past: Sequence[Path]) -> dict[str, Run]:
    """Name -> its lists, those of past topics among them.

    Args:
        files: X.trec or X.xml, the list called X.
        past: folders that hold lists of the same names, over other topics.

    Raises:
        ConfigError: two lists of one name; a past folder lacks one.
        DataError: a topic both in a list and in its past.
    """
    by_name: dict[str, Path] = {}
    for file in files:
        if file.stem in by_name:
            raise ConfigError(f'two lists are called "{file.stem}"', got=f"{by_name[file.stem]} and {file}")
        by_name[file.stem] = file
    runs = {name: read_run(file) for name, file in by_name.items()}
    problems = Problems("past lists")
    for folder in past:
        for name, file in by_name.items():
            other = folder / file.name
            if not other.is_file():
                problems.add(other, f"no such list; {name} needs its past under the same name")
                continue
            before = read_run(other)
            twice = [topic for topic in before.topics if topic in runs[name].lists]
            if twice:
                problems.add(other, f"topic {twice[0]} is in another list called {name} as well")
            runs[name] = Run({**runs[name].lists, **before.lists}, name)
    problems.raise_if_any(DataError)
    return runs


def seconds_of_search(files: Sequence[Path]) -> float:
    """Wall time of the searches that made the lists; one that made several counts once. 0 where it is not known."""
    searches = set()
    for file in files:
        if manifest_path(file).is_file():
            manifest = read_manifest(file)
            searches.add((manifest.get("command"), manifest.get("seconds", 0.0)))
    return sum(seconds for _, seconds in searches)


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
