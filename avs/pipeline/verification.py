"""Whether an artefact is what avs wrote: all its files are hashed again, and read as what they should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from avs.core.artifacts import (
    EDGES,
    fingerprint_file,
    input_paths,
    is_content,
    manifest_path,
    read_manifest,
    require_path,
)
from avs.core.bigfile import FILES as BIGFILE
from avs.core.contents import changed_files, hash_file
from avs.core.errors import AvsError
from avs.core.features import Features, open_features
from avs.core.ids import some
from avs.core.shots import read_shot_table
from avs.core.store import STORE_TYPE, FeatureStore, off_unit_length
from avs.fusion.artefact import read_fuser
from avs.pipeline.fuse.apply import FUSER_TYPE
from avs.pipeline.rerank.fitted import RERANKER_TYPE, read_settings
from avs.train.checkpoint import CHECKPOINT_TYPE, TRAINING_TYPE, read_checkpoint
from avs.trecvid.trec import read_trec
from avs.video.frame_cache import CACHE_TYPE, FrameCache

NO_HASH = "no hash was recorded: an older avs made it, or it is not of avs; only what it holds was checked"
BLOCK_ROWS = 65_536
SHOWN = 50  # shots that are named, of those that are wrong in one way


@dataclass(slots=True)
class Verification:
    """What was found.

    Attributes:
        problems: a line for everything that is wrong.
        notes: a line for everything that could not be checked.
        files: number of files that were hashed.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: int = 0


def verify(path: Path) -> Verification:
    """Hash and read all of an artefact: a store, BigFile, checkpoint, training, fuser, reranker, list, or any other.

    Raises:
        AvsError: there is no such artefact, or it has no manifest.
    """
    path = require_path(Path(path), what="artefact")
    found = Verification()
    if all((path / name).is_file() for name in BIGFILE) and not manifest_path(path).is_file():
        found.notes.append(f"{path}: {NO_HASH}")
        _collect(found, path, "bigfile")
        return found
    manifest = read_manifest(path)
    if manifest["type"] == TRAINING_TYPE:
        for folder in sorted(part.parent for part in path.glob("*/checkpoint.json")):
            one = verify(folder)
            found.problems += one.problems
            found.notes += one.notes
            found.files += one.files
        return found
    if path.is_dir():
        changed = changed_files(path, manifest, hash_all=True)
        found.files = len(manifest.get("files") or ())
    else:
        same = not manifest.get("output") or _same(path, manifest["output"])
        changed = {} if same else {path.name: "was changed after it was written"}
        found.files = 1 if manifest.get("output") else 0
        if str(manifest.get("output")).startswith(EDGES):
            found.notes.append(f"{path}: an older avs made it and hashed only its size, its first and its last MiB")
    if not found.files:
        found.notes.append(f"{path}: {NO_HASH}")
    found.problems += [f"{path}: {name} {what}" for name, what in changed.items()]
    if not changed:
        _collect(found, path, manifest["type"])
    return found


def _same(path: Path, output: str) -> bool:
    """Whether a file has the fingerprint that its manifest recorded; all of it is read, whatever its time."""
    return (fingerprint_file(path) if output.startswith(EDGES) else hash_file(path)) == output


def _collect(found: Verification, path: Path, kind: str) -> None:
    """Add what is wrong with the content of an artefact of a kind."""
    try:
        if kind in (STORE_TYPE, "bigfile"):
            features = open_features(path)
            found.problems += [f"{path}: {problem}" for problem in _of_features(features)]
            if isinstance(features, FeatureStore):
                _compare_with_table(found, features)
        elif kind == CHECKPOINT_TYPE:
            read_checkpoint(path).load_model()
        elif kind == FUSER_TYPE:
            read_fuser(path)
        elif kind == RERANKER_TYPE:
            read_settings(path)
        elif kind == CACHE_TYPE:
            FrameCache(path)
        elif kind == "ranked-lists":
            read_trec(path)
    except AvsError as error:
        found.problems.append(str(error))


def _of_features(features: Features) -> Iterator[str]:
    if isinstance(features, FeatureStore):
        yield from _of_shots(features)
    twice = [shot for shot, count in Counter(features.ids).items() if count > 1]
    if twice:
        yield f"{len(twice)} ids occur twice: {some(twice)}"
    wrong: dict[str, list[int]] = {"not finite": [], "all zero": [], "not of length 1": []}
    for start in range(0, len(features.vectors), BLOCK_ROWS):
        block = np.asarray(features.vectors[start : start + BLOCK_ROWS])
        finite = np.isfinite(block).all(axis=1)
        zero = ~block.any(axis=1)
        wrong["not finite"] += (start + np.flatnonzero(~finite)).tolist()
        wrong["all zero"] += (start + np.flatnonzero(zero)).tolist()
        if features.spec.normalised:
            off = finite & ~zero & off_unit_length(block)
            wrong["not of length 1"] += (start + np.flatnonzero(off)).tolist()
    for what, rows in wrong.items():
        if rows:
            shots = some([_named(features, row) for row in rows])
            yield f"{len(rows)} of {len(features.vectors)} rows are {what}: {shots}"


def _named(features: Features, row: int) -> str:
    """The shot of a row."""
    shot = row if features.offsets is None else int(np.searchsorted(features.offsets, row, side="right")) - 1
    return f"{features.ids[shot]} (row {row})"


def _compare_with_table(found: Verification, store: FeatureStore) -> None:
    """Add what is wrong between the shots of a store and those of the table it was made of, or why nobody knows."""
    table, recorded = input_paths(store.folder).get("shots"), store.manifest.get("inputs", {}).get("shots")
    unknown = _why_unknown(table, str(recorded))
    if table is None or unknown:
        found.notes.append(
            f"{store.folder}: that all shots of its table are there was not checked: the table {unknown}"
        )
        return
    try:
        wanted, problems = read_shot_table(table).ids, store.problems
    except AvsError as error:
        found.problems.append(str(error))
        return
    failed = {problem.shot for problem in problems if problem.status == "failed"}
    known, kept = set(wanted), set(store.ids)
    wrong = {
        "shots of the table are not there, and did not fail": [one for one in wanted if one not in kept | failed],
        "shots are not in the table": [one for one in dict.fromkeys(store.ids) if one not in known],
        "shots with problems are not in the table": [one.shot for one in problems if one.shot not in known],
        "shots have several problems": [one for one, n in Counter(p.shot for p in problems).items() if n > 1],
        "shots are partial and not there": [p.shot for p in problems if p.status == "partial" and p.shot not in kept],
    }
    for what, shots in wrong.items():
        if shots:
            found.problems.append(f"{store.folder}: {len(shots)} {what}: {some(shots, shown=SHOWN)}")
    row = {shot: place for place, shot in enumerate(wanted)}
    order = [row[shot] for shot in store.ids if shot in row]
    back = [wanted[now] for before, now in pairwise(order) if now < before]
    if back:
        found.problems.append(
            f"{store.folder}: {len(back)} shots come after later ones of the table: {some(back, shown=SHOWN)}"
        )


def _why_unknown(table: Path | None, recorded: str) -> str:
    """Why the table of a store is not known to be the one that it was made of; "" if it is."""
    if table is None:
        return "was not recorded"
    if not table.is_file():
        return f"{table} is not there"
    return "" if is_content(table, recorded) else f"{table} was changed since"


def _of_shots(store: FeatureStore) -> Iterator[str]:
    """What does not fit between the shots, the problems and the counts of a store."""
    try:
        statuses = Counter(problem.status for problem in store.problems)
    except AvsError as error:
        yield str(error)
        return
    held = sorted({p.shot for p in store.problems if p.status == "failed"} & set(store.ids))
    if held:
        yield f"{len(held)} shots failed and have vectors: {some(held)}"
    partial, failed = statuses["partial"], statuses["failed"]
    counts = {"ok": len(store) - partial, "partial": partial, "failed": failed}
    recorded = {name: store.manifest.get("counts", {}).get(name) for name in counts}
    if counts != recorded:
        yield f"the counts are {counts}, but the manifest has {recorded}"
