"""The video side of a trained model over the whole collection, embedded once, so that the model scores every shot.

A model that is searched embeds every shot in every search, which takes minutes where there are a million. Here its
embeddings are kept, as float16 rows in a folder of --cache with a manifest: it names the checkpoint, the stores and the
shots they were made from. An embedding that was killed goes on where it was.

A score of a rounded embedding differs from the model's own by the rounding: a number of float16 is off by at most 2^-11
of itself, so a cosine by at most 2^-11, and by some 1e-5 in fact. So the embeddings choose the candidates, somewhat
more than are asked for, and the model itself scores those (exact_list): shots, order and scores are its own.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np

from avs.core.artifacts import Manifest, atomic_write, complete_folder, manifest_path, read_manifest
from avs.core.contents import changed_files, content_fingerprint
from avs.core.errors import AvsError, DataError, FormatError
from avs.core.features import Features
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.core.shots import ids_fingerprint
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.score import Scorer, search
from avs.serve.opened import Report
from avs.serve.opened.shot_columns import ShotColumns

if TYPE_CHECKING:
    from torch import Tensor

    from avs.models.scorer import ModelScorer, PackedModel
    from avs.train.checkpoint import Checkpoint

TYPE = "shot-embeddings"
VECTORS, PROGRESS = "vectors.npy", ".progress.json"
SECONDS_BETWEEN_SAVES = 10.0
UNSURE = "the last shots of its list are as good as others, within the rounding of its embeddings"


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedModel:
    """The embeddings of S shots by a model. It is read as a store (avs.ranking.blocks.Rows).

    Attributes:
        name: of the model.
        ids: the shots, in the order of the model's stores.
        vectors: (S, E) float16, memory-mapped.
        offsets: None: a shot is one row.
        positions: (N,) int64 row of each shot of the collection, -1: it has none; None: its own row.
    """

    name: str
    ids: tuple[str, ...]
    vectors: np.ndarray
    offsets: np.ndarray | None
    positions: np.ndarray | None

    @property
    def feature(self) -> str:
        """The name of its rows in a block."""
        return f"{self.name} embedded"


class Embeddable(Protocol):
    """A scorer with a coarse and an exact side."""

    @property
    def name(self) -> str: ...
    @property
    def exact(self) -> Scorer: ...


class EmbeddedScorer:
    """The queries of a question for embeddings that are kept. A Scorer.

    Args:
        exact: the scorer that embeds the shots anew.
        feature: name of the embeddings in a block.

    Attributes:
        in_threads: several threads may ask it at once.
    """

    in_threads = True

    def __init__(self, exact: ModelScorer, feature: str) -> None:
        self.exact, self.name = exact, exact.name
        self.features: tuple[str, ...] = (feature,)

    @property
    def fingerprint(self) -> str:
        """That of the exact scorer, and that its embeddings are rounded."""
        return f"{self.exact.fingerprint} embedded"

    def score(self, block: Block) -> tuple[Tensor, np.ndarray | None]:
        """(T, P) scores of the P shots with an embedding, and which those are; None: all."""
        rows = block.features[self.features[0]]
        scores = self.exact.packed.score(self.exact.queries, rows.buffer)
        return scores[:, : rows.count], rows.present


def margin(k: int) -> int:
    """How many candidates more than k the model itself scores."""
    return 64 + k // 8


def exact_list(scorer: Embeddable, candidates: RankedList, source: BlockSource, *, k: int) -> tuple[RankedList, bool]:
    """The k best of the candidates by the model itself, and whether no other shot can be among them.

    A shot that is no candidate is below the last of them by its embedding. That it is below the k-th by the model is
    sure unless rounding moves it by more than twice what rounding moves any candidate.

    Args:
        candidates: the k + margin(k) best by the embeddings; fewer where there are no more shots.
        source: of the features of the candidates.
    """
    if not len(candidates):
        return candidates, True
    exact = search([scorer.exact], [candidates.topic], source, k=len(candidates))[scorer.name][0]
    own = dict(zip(exact.shots, exact.scores.tolist(), strict=True))
    moved = np.abs(np.array([own[shot] for shot in candidates.shots]) - candidates.scores).max()
    everything = len(candidates) < k + margin(k)
    sure = everything or exact.scores[k - 1] > candidates.scores[-1] + 2 * moved
    return RankedList(exact.topic, exact.shots[:k], exact.scores[:k]), bool(sure)


def open_embedded(
    name: str,
    packed: PackedModel,
    checkpoint: Checkpoint,
    stores: Mapping[str, Features],
    source: BlockSource,
    columns: ShotColumns,
    folder: Path,
    report: Report,
    reporter: Reporter,
) -> EmbeddedModel:
    """The embeddings in a folder; they are made if they are not there, or of something else.

    Args:
        name: of the model.
        packed: the model, prepared for searching.
        stores: that the model reads, by name.
        source: their blocks.
        columns: the shots of the collection, which has those of the stores.
        folder: it is made anew where its manifest, or a file, is not as it should be; `reporter` says so.

    Raises:
        DataError: an embedding is not finite.
        AvsError: the disk has no room.
    """
    inputs = {f"store {name}": content_fingerprint(store.manifest) for name, store in stores.items()}
    inputs |= {"checkpoint": checkpoint.fingerprint, "shots": ids_fingerprint(source.ids)}
    config = {"model": name, "dtype": "float16", "shots": len(source)}
    paths = {"checkpoint": checkpoint.folder} | {f"store {name}": store.folder for name, store in stores.items()}
    manifest = Manifest(TYPE, config, inputs, paths=paths)
    stale = _what_is_wrong(folder, manifest)
    if stale:
        reporter.say(f"the embeddings of {name} were made anew: {stale}")
    if stale is not None:
        _embed(packed, manifest, source, folder, report)
    vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
    positions = None
    if source.ids != columns.ids:
        positions = np.full(len(columns), -1, dtype=np.int64)
        positions[columns.known_rows(source.ids)] = np.arange(len(source))
    return EmbeddedModel(name, source.ids, vectors, None, positions)


def _what_is_wrong(folder: Path, manifest: Manifest) -> str | None:
    """Why the embeddings in a folder cannot be used, "" if there are none yet; None: they can."""
    if not manifest_path(folder).is_file():
        return ""
    try:
        before = read_manifest(folder)
    except FormatError as error:
        return error.what
    if before["fingerprint"] != manifest.fingerprint:
        then: Mapping[str, Any] = before.get("inputs") or {}
        changed = [name for name in {**then, **manifest.inputs} if then.get(name) != manifest.inputs.get(name)]
        return f"another {', another '.join(changed)}" if changed else "made by another avs"
    spoiled = changed_files(folder, before)
    return "; ".join(f"{name} {what}" for name, what in spoiled.items()) or None


def _embed(packed: PackedModel, manifest: Manifest, source: BlockSource, folder: Path, report: Report) -> None:
    """Write the folder."""
    start = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    manifest_path(folder).unlink(missing_ok=True)  # a folder without a manifest is not complete
    what = f"embeddings of {manifest.config['model']}"
    with _GrowingRows(folder, manifest.fingerprint, len(source)) as rows:
        for block in source.blocks(rows.count):
            report(what, rows.count, len(source))
            batches, _ = packed.batches(block)  # every shot of the source has a feature of the model
            embedded = np.concatenate([packed.embed(batch).cpu().numpy() for batch in batches])
            rows.append(_rounded(embedded, source.ids[block.first : block.first + block.count]))
    report(what, len(source), len(source))
    (folder / PROGRESS).unlink(missing_ok=True)
    complete_folder(folder, replace(manifest, seconds=time.perf_counter() - start))


def _rounded(embedded: np.ndarray, shots: tuple[str, ...]) -> np.ndarray:
    """(B, E) float16 of (B, E) embeddings.

    Raises:
        DataError: one is not finite as float16.
    """
    with np.errstate(over="ignore"):
        rounded = embedded.astype("<f2")
    fine = np.isfinite(rounded).all(axis=1)
    if not fine.all():
        row = int(np.flatnonzero(~fine)[0])
        raise DataError(
            "an embedding cannot be kept as float16", where=shots[row],
            got=f"numbers up to {np.abs(embedded[row]).max():g}", wanted="finite numbers below 65,504",
            next_step="give the model by --checkpoint, not by --embed",
        )  # fmt: skip
    return rounded


class _GrowingRows:
    """Rows that are appended to a file, and counted beside it when they are on the disk.

    Args:
        made_of: what decides the rows; those of something else are removed.
        total: rows that there will be.

    Attributes:
        count: rows so far.
    """

    def __init__(self, folder: Path, made_of: str, total: int) -> None:
        self.folder, self.made_of, self.total, self.count = folder, made_of, total, 0
        self._dim = 0
        self._file: IO[bytes] | None = None
        self._saved_s = time.monotonic()
        self._resume()

    def __enter__(self) -> _GrowingRows:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._save()
            self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Add (B, E) float16 rows."""
        if self._file is None:
            self._begin(rows.shape[1])
        assert self._file is not None
        self._file.write(rows.tobytes())
        self.count += len(rows)
        if time.monotonic() - self._saved_s >= SECONDS_BETWEEN_SAVES:
            self._save()

    def _resume(self) -> None:
        """Go on after the rows that were counted."""
        path = self.folder / VECTORS
        try:
            before = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
            count, dim = int(before["rows"]), int(before["dim"])
            end = len(_header(self.total, dim)) + 2 * dim * count
            if before["made_of"] != self.made_of or path.stat().st_size < end:
                return
        except (OSError, ValueError, KeyError, TypeError):
            return  # nothing was counted
        self.count, self._dim = count, dim
        self._file = open(path, "rb+")
        self._file.seek(end)

    def _begin(self, dim: int) -> None:
        header = _header(self.total, dim)
        need, free = len(header) + 2 * dim * self.total, shutil.disk_usage(self.folder).free
        if need > free:
            raise AvsError(
                "the disk has no room for the embeddings", where=self.folder, got=f"{free / 1e9:.1f} GB free",
                wanted=f"{need / 1e9:.1f} GB", next_step="give another --cache, or --checkpoint in place of --embed",
            )  # fmt: skip
        self._dim = dim
        self._file = open(self.folder / VECTORS, "wb")
        self._file.write(header)

    def _save(self) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        with atomic_write(self.folder / PROGRESS) as file:
            json.dump({"made_of": self.made_of, "rows": self.count, "dim": self._dim}, file)
        self._saved_s = time.monotonic()


def _header(rows: int, dim: int) -> bytes:
    """The head of a NumPy file of (rows, dim) float16."""
    head = BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)})
    return head.getvalue()
