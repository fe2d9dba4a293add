"""A feature store as the BigFile that RUC's code reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.core.artifacts import (
    UNFINISHED,
    Manifest,
    atomic_write,
    complete_folder,
    fingerprint_input,
    is_up_to_date,
    making,
    require_place,
)
from avs.core.bigfile import FILES, write_bigfile
from avs.core.errors import ConfigError, FormatError, Problems
from avs.core.features import open_features
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.core.store import FeatureStore

BIGFILE_TYPE = "bigfile"
NAMES = "names.tsv"
BLOCK_ROWS = 16_384
REPLACEMENT = re.compile(r"[A-Za-z0-9_-]*")


def export_features(
    folder: Path, out: Path, *, dots_to: str | None = None, force: bool = False, reporter: Reporter
) -> dict[str, Any]:
    """Write the store in `folder` as the BigFile `out`: float32 rows, in the store's order.

    A row has the id of its shot; at frame level `<shot>_<number>`, where the frames of a shot count from 0 in time.

    Args:
        dots_to: what every "." of an id becomes; names.tsv has the ids before and after. None: such ids are refused.

    Returns:
        A summary: path, seconds, rows, dim; or path and "up_to_date".

    Raises:
        ConfigError: no store of avs; the output inside it; a replacement that is no word of letters, digits, - and _.
        FormatError: ids with "." or "/", or two that become the same; all at once.
    """
    start = perf_counter()
    store = open_features(folder)
    if not isinstance(store, FeatureStore):
        raise ConfigError("this is a BigFile already", where=folder, next_step="give it to RUC's code as it is")
    inner, outer = out.resolve(), store.folder.resolve()
    if inner == outer or inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise ConfigError("the BigFile and the store must lie apart", where=out, next_step="choose another -o")
    require_place(out, BIGFILE_TYPE, sign=UNFINISHED)
    if dots_to is not None and not REPLACEMENT.fullmatch(dots_to):
        raise ConfigError('"." of ids becomes letters, digits, - and _ alone', got=f"--dots-to {dots_to!r}")
    names = ruc_names(store.ids, dots_to=dots_to, where=store.folder)
    config = {"level": store.level, **({} if dots_to is None else {"dots_to": dots_to})}
    inputs = {"store": fingerprint_input(store.folder)}
    manifest = Manifest(BIGFILE_TYPE, config, inputs, store.spec.to_json(), paths={"store": store.folder})
    if is_up_to_date(out, manifest, force=force, reporter=reporter):
        return {"path": str(out), "up_to_date": True}
    facts = {"rows": len(store.vectors), "dim": store.spec.dim}
    with making(out):
        for name in ("manifest.json", NAMES, *FILES):
            (out / name).unlink(missing_ok=True)
        write_bigfile(out, list(_row_ids(store, names)), _blocks(store.vectors))
        if dots_to is not None:
            with atomic_write(out / NAMES) as file:
                file.writelines(f"{shot}\t{name}\n" for shot, name in zip(store.ids, names, strict=True))
        seconds = perf_counter() - start
        complete_folder(out, replace(manifest, counts=facts, seconds=seconds))
    reporter.say(f"wrote {out}: {facts['rows']} rows of {facts['dim']} float32, level {store.level}")
    failed = sum(problem.status == "failed" for problem in store.problems)
    if failed:
        reporter.say(f"{failed} shots of the store failed and have no row: {store.folder / 'problems.tsv'}")
    return {"path": str(out), "seconds": round(seconds, 3), **facts}


def ruc_names(shots: Sequence[str], *, dots_to: str | None, where: Path) -> list[str]:
    """The ids that RUC's code gets.

    >>> ruc_names(["shota.b_1"], dots_to="-", where=Path("store"))
    ['shota-b_1']

    Raises:
        FormatError: ids with "/", or with "." where it is not replaced; two shots that get the same id.
    """
    problems = Problems(f"ids of {where} for RUC's code")
    refused = "/" if dots_to is not None else "/."
    for sign in refused:
        wrong = [shot for shot in shots if sign in shot]
        if wrong:
            problems.add("ids", f'{len(wrong)} have a "{sign}": {some(wrong)}')
    names = list(shots) if dots_to is None else [shot.replace(".", dots_to) for shot in shots]
    twice = {name for name, count in Counter(names).items() if count > 1}
    if twice:
        same = [f"{shot} -> {name}" for shot, name in zip(shots, names, strict=True) if name in twice]
        problems.add("ids", f"{len(same)} would not be told apart: {some(same)}")
    why = "" if dots_to is None else "another "
    problems.raise_if_any(FormatError, next_step=f'{why}--dots-to TEXT replaces every ".", and names.tsv has both ids')
    return names


def _row_ids(store: FeatureStore, names: Sequence[str]) -> Iterator[str]:
    if store.offsets is None:
        yield from names
        return
    for name, count in zip(names, np.diff(store.offsets).tolist(), strict=True):
        yield from (f"{name}_{number}" for number in range(count))


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(vectors), BLOCK_ROWS):
        yield np.asarray(vectors[first : first + BLOCK_ROWS], dtype=np.float32)
