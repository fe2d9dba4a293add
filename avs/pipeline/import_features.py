"""A feature store of features that others computed: their rows, checked against a shot table, with a spec."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import (
    UNFINISHED,
    Manifest,
    complete_folder,
    fingerprint_content,
    fingerprint_input,
    is_up_to_date,
    making,
    require_path,
    require_place,
)
from avs.core.errors import ConfigError, SpecMismatchError
from avs.core.progress import Reporter, Stage
from avs.core.shots import ShotTable, read_shot_table
from avs.core.spec import EmbedderSpec
from avs.core.store import RAW_VECTORS, STORE_TYPE, FeatureStore, Level, Status
from avs.core.store_files import WrittenFiles, finished_manifest, write_store_files
from avs.core.store_part import StorePart, make_part
from avs.features.borrowed import BIGFILE, CLIP_RETRIEVAL, NPZ, format_of
from avs.features.borrowed.bigfile import read_bigfile
from avs.features.borrowed.clip_retrieval import ID_COLUMN, read_clip_retrieval
from avs.features.borrowed.npz_by_video import read_npz_by_video
from avs.features.borrowed.placing import FrameNumbers, PlacedRows, place_rows
from avs.features.borrowed.rows import BorrowedRows, count_off_unit_length
from avs.features.catalog import read_catalog
from avs.features.embedder import family_of, read_spec

BORROWED = "borrowed"  # revision of the weights that nobody named
SHOTS_AT_ONCE = 4096
TRACED_FILES = 16  # more input files than this are recorded as one fingerprint, without their paths
NO_FEATURES = "not among the borrowed features"
STORE_FILES = ("vectors.npy", RAW_VECTORS, "ids.txt", "offsets.npy", "pts_s.npy", "problems.tsv", "videos.tsv")


@dataclass(frozen=True, slots=True)
class BorrowedModel:
    """What made the features, as far as one knows.

    Attributes:
        name: of the encoder, any word; None: that of the folder.
        revision: which weights it had, any word.
        image_size: height and width of the images it took, in pixels; 0: not known.
        catalog_name: encoder of the catalog that made them, in place of the above; so a search can encode topics.
        weights: its weights, a folder or a Hub name; None: what the catalog says.
        pooling: one of its family's; None: the first.
    """

    name: str | None = None
    revision: str = BORROWED
    image_size: int = 0
    catalog_name: str | None = None
    weights: str | None = None
    pooling: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureSources:
    """What is imported.

    Attributes:
        folder: with the features.
        shots: shot table of the collection.
        model: what made them.
        level: whether a row is of a shot or of a frame.
        format: of the folder; None: what its files show.
        numbers: what the numbers of frames mean, at frame level.
        id_column: column of clip-retrieval's metadata that names the rows.
        array: name of the array of rows in npz files; None: there is only one.
    """

    folder: Path
    shots: Path
    model: BorrowedModel = BorrowedModel()
    level: Level = "shot"
    format: str | None = None
    numbers: FrameNumbers | None = None
    id_column: str = ID_COLUMN
    array: str | None = None


def import_features(
    sources: FeatureSources,
    out: Path,
    *,
    allow_missing: bool = False,
    copy: bool = False,
    force: bool = False,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the feature store `out`.

    Args:
        allow_missing: whether shots of the table may have no features; each is a failed one of problems.tsv.
        copy: copy the rows, also where a link to the file of the others would do.

    Returns:
        A summary: path, seconds, counts, what was linked; or path and "up_to_date".

    Raises:
        ConfigError: options that do not fit together; a store as input; the output inside the input, or the reverse.
        FormatError: a folder that cannot be read, or ids that do not fit the shot table.
        DataError: rows that are not finite or all zero.
        SpecMismatchError: rows that the encoder of the catalog cannot have made.
        MissingDependencyError: parquet files and no pyarrow.
    """
    start = perf_counter()
    kind = format_of(sources.folder, sources.format)
    _require_apart(sources.folder, out)
    require_place(out, STORE_TYPE, sign=UNFINISHED)
    found = _find(kind, sources, allow_missing)
    table, rows, placed = found.table, found.rows, found.placed
    spec = _of_length(found.spec, rows, found.off, catalog=sources.model.catalog_name is not None)
    manifest = _manifest(kind, sources, found, spec, allow_missing)
    if is_up_to_date(out, manifest, force=force, reporter=reporter):
        return {"path": str(out), "up_to_date": True}
    with making(out), reporter.stage("import", len(table), "shots") as stage:
        why_copied = "asked for" if copy else _why_not_linked(rows, placed, out)
        written = _write(out, rows, placed, table, sources.level, linked=not why_copied, stage=stage)
        complete_folder(out, finished_manifest(manifest, written, perf_counter() - start), written.hashes)
    store = FeatureStore(out)
    _say(store, rows, placed, why_copied, reporter)
    seconds = round(perf_counter() - start, 3)
    return {"path": str(out), "seconds": seconds, "linked": not why_copied, **store.manifest["counts"]}


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read before anything is written.

    Attributes:
        table: the shots.
        rows, placed: of the features, and where each belongs.
        numbers: what the numbers of frames mean.
        spec: of the rows, but for their length.
        inputs: name -> fingerprint of every file of the features.
        off: rows that have not length 1.
    """

    table: ShotTable
    rows: BorrowedRows
    placed: PlacedRows
    numbers: FrameNumbers | None
    spec: EmbedderSpec
    inputs: Mapping[str, str]
    off: int


def _find(kind: str, sources: FeatureSources, allow_missing: bool) -> _Found:
    """Read the ids and the shot table, and meanwhile the rows: hashing and checking them leave Python its lock."""
    path = require_path(sources.shots, what="shot table")
    shots = cache(lambda: read_shot_table(path))
    rows = _read(kind, sources, shots)
    numbers, spec = _numbers(sources, rows), _spec(sources, rows, _named(sources))
    with ThreadPoolExecutor(1) as beside:
        inputs = beside.submit(lambda: {name: fingerprint_content(file) for name, file in rows.files.items()})
        off = beside.submit(count_off_unit_length, rows)
        try:
            placed = place_rows(rows, shots(), level=sources.level, numbers=numbers, allow_missing=allow_missing)
        except BaseException:
            beside.shutdown(cancel_futures=True)
            raise
        return _Found(shots(), rows, placed, numbers, spec, inputs.result(), off.result())


def _require_apart(folder: Path, out: Path) -> None:
    inner, outer = out.resolve(), folder.resolve()
    if inner == outer or inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ConfigError(
            "the features and the store must lie apart",
            where=out,
            got=f"the features are in {folder}",
            next_step="choose another -o",
        )


def _read(kind: str, sources: FeatureSources, shots: Callable[[], ShotTable]) -> BorrowedRows:
    used = {CLIP_RETRIEVAL: sources.id_column != ID_COLUMN, NPZ: sources.array is not None}
    options = {CLIP_RETRIEVAL: "--id-column", NPZ: "--array"}
    for other, is_used in used.items():
        if is_used and other != kind:
            raise ConfigError(f"{options[other]} is for features in the format {other}", got=kind)
    if kind == BIGFILE:
        return read_bigfile(sources.folder)
    if kind == CLIP_RETRIEVAL:
        return read_clip_retrieval(sources.folder, id_column=sources.id_column)
    return read_npz_by_video(sources.folder, shots(), level=sources.level, array=sources.array)


def _numbers(sources: FeatureSources, rows: BorrowedRows) -> FrameNumbers | None:
    """What frame numbers mean, where that decides the seconds of rows."""
    numbers = sources.numbers
    if sources.level == "shot" or rows.pts_s is not None:
        if numbers is not None:
            why = "rows of shots have no frame numbers" if sources.level == "shot" else "the files say the seconds"
            raise ConfigError(f"--fps is not needed: {why}", where=sources.folder, next_step="leave it out")
        return None
    if numbers is None:
        raise ConfigError(
            "the ids number the frames, and do not say when they are",
            where=sources.folder,
            next_step="--fps N: how many numbers a second has, such as 25 if every frame of the video was numbered",
        )
    if not 0 < numbers.per_s < float("inf"):
        raise ConfigError("--fps must be a positive number", got=numbers.per_s)
    return numbers


def _named(sources: FeatureSources) -> str:
    """The name of the model: as given, or that of the folder, of MODEL/shot and frame/MODEL that of MODEL."""
    place = sources.folder.resolve()
    return sources.model.name or (place.parent.name if place.name in ("shot", "frame") else place.name)


def _spec(sources: FeatureSources, rows: BorrowedRows, name: str) -> EmbedderSpec:
    """The spec of the rows, but for their length.

    Raises:
        ConfigError: options that do not go together, or the name of an encoder of the catalog that reads texts.
        SpecMismatchError: another dimension than that of the encoder of the catalog.
    """
    model = sources.model
    if model.catalog_name is None:
        if model.weights is not None or model.pooling is not None:
            raise ConfigError("--weights and --pooling are of an encoder of the catalog", next_step="add --as NAME")
        if name in read_catalog() and family_of(name).text_tower:
            raise ConfigError(
                f'"{name}" is an encoder of the catalog, whose weights would encode the topics',
                where=sources.folder,
                next_step=f"if it made these features: --as {name}, with --weights; if not: --model ANOTHER_NAME",
            )
        return EmbedderSpec(name, model.revision, rows.dim, model.image_size, (), (), "", "", "", "", False)
    if model.name is not None or model.image_size or model.revision != BORROWED:
        raise ConfigError(
            "--as takes name, revision and image size from the encoder of the catalog",
            next_step="leave --model, --revision and --image-size out",
        )
    spec = read_spec(model.catalog_name, weights=model.weights, pooling=model.pooling)
    if spec.dim != rows.dim:
        raise SpecMismatchError(
            f"the rows are not of {spec.name}",
            where=sources.folder,
            got=f"rows of {rows.dim} numbers",
            wanted=f"{spec.dim}",
            next_step="name the encoder that made them, or leave --as out and give them a name: --model NAME",
        )
    return spec


def _of_length(spec: EmbedderSpec, rows: BorrowedRows, off: int, *, catalog: bool) -> EmbedderSpec:
    """The spec that says whether all rows have length 1."""
    if catalog and spec.normalised and off:
        raise SpecMismatchError(
            f"the rows are not of {spec.name}, whose vectors have length 1",
            where=rows.folder,
            got=f"{off} of {len(rows)} rows have another length",
            next_step="leave --as out and give them a name: --model NAME",
        )
    return spec if catalog else replace(spec, normalised=not off)


def _manifest(
    kind: str,
    sources: FeatureSources,
    found: _Found,
    spec: EmbedderSpec,
    allow_missing: bool,
) -> Manifest:
    rows, numbers = found.rows, found.numbers
    config: dict[str, Any] = {"level": sources.level, "borrowed": kind, "store_dtype": rows.dtype.name}
    config |= {"allow_missing": True} if allow_missing else {}
    config |= {"frame_numbers": {"per_s": numbers.per_s, "begin": numbers.begin}} if numbers else {}
    config |= {"id_column": sources.id_column} if kind == CLIP_RETRIEVAL else {}
    config |= {"array": sources.array} if sources.array else {}
    inputs, paths = dict(found.inputs), dict(rows.files)
    if len(inputs) > TRACED_FILES:
        listing = json.dumps(inputs, sort_keys=True).encode()
        inputs, paths = {"features": f"sha256:{hashlib.sha256(listing).hexdigest()}"}, {}
    inputs["shots"], paths["shots"] = fingerprint_input(sources.shots), sources.shots
    return Manifest(STORE_TYPE, config, inputs, spec.to_json(), paths=paths)


def _write(
    out: Path, rows: BorrowedRows, placed: PlacedRows, table: ShotTable, level: Level, *, linked: bool, stage: Stage
) -> WrittenFiles:
    """Write all files of the store but its manifest."""
    for name in ("manifest.json", "extraction.json", *STORE_FILES):
        (out / name).unlink(missing_ok=True)
    written = write_store_files(
        out,
        _parts(rows, placed, stage),
        table.ids,
        level=level,
        dtype=rows.dtype,
        shape=(len(rows), rows.dim),
        kept=int((placed.counts > 0).sum()),
        linked=linked,
    )
    if linked and rows.linkable:
        os.link(rows.linkable.path.resolve(), out / rows.linkable.name)
        written.hashes[rows.linkable.name] = fingerprint_content(rows.linkable.path)
    return written


def _why_not_linked(rows: BorrowedRows, placed: PlacedRows, out: Path) -> str:
    """Why the file of the others cannot be the store's; "" if it can."""
    if rows.linkable is None:
        return "their files are not one array of float16 or float32"
    if not placed.in_order:
        return "their order is not that of the shot table"
    probe = out / ".link"
    try:
        probe.unlink(missing_ok=True)
        os.link(rows.linkable.path.resolve(), probe)
        probe.unlink()
    except OSError as error:
        return f"a link cannot be made here ({error.strerror})"
    return ""


def _parts(rows: BorrowedRows, placed: PlacedRows, stage: Stage) -> Iterator[StorePart]:
    ends = np.concatenate([[0], np.cumsum(placed.counts, dtype=np.int64)])
    for first in range(0, len(placed.counts), SHOTS_AT_ONCE):
        counts = placed.counts[first : first + SHOTS_AT_ONCE]
        here = slice(int(ends[first]), int(ends[first + len(counts)]))
        missing: list[tuple[int, Status, str]] = [
            (place, "failed", NO_FEATURES) for place in np.flatnonzero(counts == 0).tolist()
        ]
        yield make_part(first, counts.tolist(), rows.take(placed.order[here]), placed.pts_s[here], missing, {})
        stage.advance(len(counts), failed=len(missing))


def _say(store: FeatureStore, rows: BorrowedRows, placed: PlacedRows, why_copied: str, reporter: Reporter) -> None:
    """Say what was made of the rows, and what of them was measured or changed."""
    counts, spec = store.manifest["counts"], store.spec
    length = "of length 1" if spec.normalised else "not all of length 1"
    reporter.say(
        f"wrote {store.folder}: {len(rows)} rows of {rows.dim} {rows.dtype.name} for {counts['ok']} shots, {length}"
    )
    if counts["failed"]:
        reporter.say(f"{counts['failed']} shots have no features; problems.tsv names them")
    if placed.videos:
        reporter.say(f"{placed.videos} rows are named after a video that has one shot, and are of that shot")
    if rows.source_dtype == "float64":
        reporter.say("the rows were float64 and are rounded to float32")
    if why_copied:
        reporter.say(f"the rows were copied: {why_copied}")
    elif rows.linkable:
        reporter.say(f"the rows are a link to {rows.linkable.path}: a change of that file makes the store unreadable")
