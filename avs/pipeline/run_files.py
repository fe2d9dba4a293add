"""Run files for NIST: ranked lists, topics, an edition and attributes -> a checked XML file with its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from avs.core.artifacts import (
    Manifest,
    atomic_write,
    fingerprint_input,
    is_up_to_date,
    require_path,
    write_artefact,
)
from avs.core.errors import ConfigError
from avs.core.list_files import seconds_of_search
from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.trecvid.checked_run import checked_run, read_elapsed, run_file_name
from avs.trecvid.editions import Edition, get_edition
from avs.trecvid.findings import CheckReport
from avs.trecvid.list_class import CLASSES, class_of_list
from avs.trecvid.run_file import read_run
from avs.trecvid.topics import read_topics
from avs.trecvid.trec import trec_lines
from avs.trecvid.valid_shots import read_valid_shots


@dataclass(frozen=True, slots=True)
class RunFile:
    """A run file on disk.

    Attributes:
        path: its place; the name is NIST's run id and `.xml`.
        report: of its check, without findings; None if the file was up to date and nothing was done.
        cut_topics: topics whose lists were longer than NIST takes; their best shots were kept.
        seconds: wall time.
    """

    path: Path
    report: CheckReport | None = None
    cut_topics: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """The number of topics, of shots, and of lists that were cut."""
        topics, shots = (self.report.topics, self.report.items) if self.report else (0, 0)
        return {"topics": topics, "shots": shots, "cut_topics": len(self.cut_topics)}


def write_run(
    ranked: Path | Run,
    folder: Path,
    *,
    edition: Edition | str,
    topics: Sequence[Path],
    shots: Path,
    attributes: Mapping[str, str],
    dropped: Path | None = None,
    elapsed: str | float | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
) -> RunFile:
    """Write ranked lists as the XML run file that NIST takes, unless it is there already.

    Args:
        ranked: a file of ranked lists, TREC columns or run XML, or the lists themselves; one list per topic.
        folder: for the file, which is named by NIST's run id.
        edition: such as "tv23", "mini" or "custom"; or one read from a file.
        topics: topic files of the run; each of their topics must have a list, and no other.
        shots: NIST's validShotTable, a shot table, or a list of shot ids.
        attributes: of the run, by the DTD's names: trType, class, task, novelty, algo, pid, priority, desc.
        dropped: file of shots that were removed from the collection.
        elapsed: seconds per topic, or a file of lines `topic seconds`; fractions are rounded up. By default the time
            of the search that made the file, divided by the number of topics.
        force: replace a file that was made from other inputs.

    Raises:
        ConfigError: unknown edition; attributes that the edition requires or does not have; time of search not known.
        FormatError: a file is not in its format; whatever `check_run` would find in the run.
        ChangedInputsError: a file made from other inputs is there, and `force` is off.
    """
    start = perf_counter()
    year = get_edition(edition) if isinstance(edition, str) else edition
    path = folder / run_file_name(year, attributes)
    ids = read_topics(topics, edition=year).ids
    seconds = _seconds_per_topic(ranked, len(ids)) if elapsed in (None, "") else elapsed
    elapsed_s = read_elapsed(str(seconds), ids)
    files = {"ranked": ranked} if isinstance(ranked, Path) else {}
    files |= {"shots": shots} | {name: file for name, file in (("dropped", dropped), ("edition", year.file)) if file}
    files |= {f"topics {number}": file for number, file in enumerate(topics, start=1)}
    inputs = {} if isinstance(ranked, Path) else {"ranked": _fingerprint(ranked)}
    inputs |= {name: fingerprint_input(file) for name, file in files.items()}
    config = {"edition": year.id, "attributes": attributes, "elapsed_s": elapsed_s}
    manifest = Manifest("run", config, inputs, paths=files)
    if is_up_to_date(path, manifest, force=force, reporter=reporter):
        return RunFile(path)

    run = ranked if isinstance(ranked, Run) else read_run(ranked, topics=ids)
    valid = read_valid_shots(shots, dropped=dropped)
    checked = checked_run(run, year, attributes, valid, topics=ids, elapsed_s=elapsed_s)
    _warn_of_class(ranked, run, attributes["class"], reporter or Reporter())

    def write(path: Path) -> None:
        with atomic_write(path, "wb") as file:
            file.write(checked.data)

    written = RunFile(path, checked.report, checked.cut_topics, perf_counter() - start)
    write_artefact(path, replace(manifest, counts=written.counts, seconds=written.seconds), write)
    return written


def _warn_of_class(ranked: Path | Run, run: Run, claimed: str, reporter: Reporter) -> None:
    """Say that a run claims less help of users than its list."""
    used = class_of_list(ranked, run) if isinstance(ranked, Path) else None
    if used is not None and claimed in CLASSES and CLASSES.index(claimed) < CLASSES.index(used):
        reporter.say(f"warning: class {claimed} claims less help of users than {ranked}, which is of class {used}")


def _fingerprint(run: Run) -> str:
    """That of the TREC file of a run."""
    digest = hashlib.sha256()
    for line in trec_lines(run):
        digest.update(line.encode())
    return f"sha256:{digest.hexdigest()}"


def _seconds_per_topic(ranked: Path | Run, topics: int) -> float:
    """Seconds per topic, from the manifest beside the ranked lists.

    Raises:
        ConfigError: there is no manifest, or the time is not in it.
    """
    seconds = 0.0
    if isinstance(ranked, Path):
        seconds = seconds_of_search([require_path(ranked, what="file of ranked lists")])
    if not seconds:
        raise ConfigError(
            "how long the search took is not known",
            where=ranked if isinstance(ranked, Path) else f"run {ranked.tag}",
            next_step="give the seconds per topic: --elapsed 5, or a file of lines `topic seconds`",
        )
    return seconds / topics
