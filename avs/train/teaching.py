"""What teachers say of a batch: their scores of all its pairs, over all workers, and the relevance of frames.

A teacher reads the student's tokens and frames. Where a training sees the same frames of a video in every epoch, the
teacher embeds each video once, before training, into a table:

    .teacher-FINGERPRINT.npy   (N, E) float16, a row for each of the N videos; then the sha256 of all bytes before

Where frames are drawn, it embeds the videos with each batch.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from avs.core.artifacts import atomic_write
from avs.core.progress import Reporter
from avs.models.batch import Batch
from avs.models.teaching import Lesson
from avs.train.data import FeatureTable, PairBatch
from avs.train.distributed import Workers
from avs.train.embed import batches

PAIRS_AT_ONCE = 32  # that a teacher embeds: with 12 frames of 224 x 224 they are 230 MB in float32
TABLES = ".teacher-*.npy"
BLOCK_BYTES = 2**24


class Teacher(Protocol):
    """A trained model, in eval mode, with one text feature and one video feature."""

    text_features: tuple[str, ...]
    video_features: tuple[str, ...]

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E)."""
        ...

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E)."""
        ...

    def logits(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) scores of rows, times the logit scale."""
        ...

    def frame_relevance(self, texts: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F) relevance of frames to the text of their pair, of rows of B pairs, and which frames are real."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Taught:
    """A teacher, with the rows of its table; None: videos are embedded with each batch."""

    model: Teacher
    video_rows: np.ndarray | None = None


class Teaching:
    """The lessons of batches.

    Args:
        teachers: the teachers, on the device of the training.
    """

    def __init__(self, teachers: Sequence[Taught]) -> None:
        self.teachers = teachers

    @torch.no_grad()
    def lessons(self, batch: PairBatch, workers: Workers, device: str) -> list[Lesson]:
        """What each teacher says of the batches of all workers together, in the order of `Workers.gather`."""
        found = []
        for teacher in self.teachers:
            texts, videos = (workers.gather(rows) for rows in _rows(teacher, batch, device))
            found.append(Lesson(teacher.model.logits(texts, videos), *teacher.model.frame_relevance(texts, videos)))
        return found


def _rows(teacher: Taught, batch: PairBatch, device: str) -> tuple[Tensor, Tensor]:
    """(B, E) rows of the texts and of the videos of a batch."""
    model, table = teacher.model, teacher.video_rows
    parts = batch.parts(PAIRS_AT_ONCE)
    texts = torch.cat([model.embed_texts(_named(part.texts, model.text_features).to(device)) for part in parts])
    if table is not None:
        videos = torch.from_numpy(table[batch.video_of.numpy()]).to(device)
    else:
        videos = torch.cat([model.embed_videos(_named(part.videos, model.video_features).to(device)) for part in parts])
    return texts.float(), videos.float()


def _named(batch: Batch, names: Sequence[str]) -> Batch:
    """The one feature of a student's batch under the name that the teacher knows it by."""
    (name,) = names
    (sequences,) = batch.sequences.values()  # all have it: a model on frames is not trained on a video without any
    return Batch(sequences={name: sequences})


def table_path(folder: Path, fingerprint: str) -> Path:
    """Where the rows of a teacher's table are, in the folder of a training."""
    return folder / TABLES.replace("*", fingerprint[:16])


def video_rows(
    teacher: Teacher, videos: FeatureTable, path: Path, *, device: str, workers: Workers, reporter: Reporter
) -> np.ndarray:
    """(N, E) float16 rows of N videos, mapped from a file that the first worker makes, if there is no whole one."""
    if workers.first and path.is_file() and not _is_whole(path):
        reporter.say(f"{path} was changed after it was written, so it is made again")
        path.unlink()
    if workers.first and not path.is_file():
        _write_rows(teacher, videos, path, device, reporter)
    workers.wait()
    rows: np.ndarray = np.load(path, mmap_mode="r")
    return rows


@torch.no_grad()
def _write_rows(teacher: Teacher, videos: FeatureTable, path: Path, device: str, reporter: Reporter) -> None:
    digest = hashlib.sha256()
    with atomic_write(path, "wb") as file, reporter.stage("teacher's rows", len(videos), "videos") as stage:

        def write(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        for place, batch in enumerate(batches(videos, device=device)):
            rows = teacher.embed_videos(_named(batch, teacher.video_features)).to(torch.float16).cpu().numpy()
            if place == 0:
                write(_header((len(videos), rows.shape[1])))
            write(rows.tobytes())
            stage.advance(len(rows))
        file.write(digest.digest())


def _header(shape: tuple[int, int]) -> bytes:
    """What a .npy file of float16 rows begins with."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f2", "fortran_order": False, "shape": shape})
    return header.getvalue()


def _is_whole(path: Path) -> bool:
    """Whether a table ends with the hash of what is before."""
    digest = hashlib.sha256()
    left = path.stat().st_size - digest.digest_size
    with open(path, "rb") as file:
        while left > 0:
            block = file.read(min(left, BLOCK_BYTES))
            digest.update(block)
            left -= len(block)
        return left == 0 and file.read() == digest.digest()
