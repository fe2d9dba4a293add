"""A queue in front of an encoder: images go in, and their vectors come back in the same order, some time later.

On a CPU an encoder computes at once, each batch as it is, so that the bits of a vector are always the same.

On a GPU nobody waits for a batch. Batches are filled with images of several units; the next is copied to the device and
an earlier one is encoded meanwhile. A vector does not depend on what shares its batch, beyond rounding.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from avs.core.errors import ConfigError, DataError
from avs.features.embedder import ClipEmbedder, CompilableEmbedder, DeviceEmbedder, ImageEmbedder
from avs.features.filling import Filling, GiveBack

SLOTS = 3  # one is filled and copied, one is encoded, and one lies ready


class Lane(Protocol):
    """Encodes filled batches one after the other without being waited for.

    Attributes:
        busy_s: seconds in which the device has encoded the batches that have ended.
    """

    busy_s: float

    def copy(self, arrays: Sequence[Tensor], place: int) -> None:
        """Bring rows to `place` and after it of the batch that is being filled; `full` is false when it begins."""
        ...

    def start(self, rows: int) -> None:
        """Encode the batch that was filled, which has `rows` rows."""
        ...

    @property
    def full(self) -> bool:
        """Whether there is no room for another batch until the oldest has ended."""
        ...

    def ended(self, *, wait: bool) -> np.ndarray | None:
        """The vectors of the oldest batch under way; None: it has not ended and is not waited for, or there is none."""
        ...


class EncodingQueue:
    """The vectors of images or clips by one encoder, in the order in which they were put in.

    Args:
        embedder: the encoder.
        rows: number of images or clips of a filled batch.
        compiled: compile the encoder for batches of that size; on a CPU, too, none may be larger.
        lane: what encodes filled batches; None: the one for the encoder's device.

    Raises:
        ConfigError: the encoder cannot be compiled.
    """

    def __init__(
        self,
        embedder: ImageEmbedder | ClipEmbedder,
        rows: int,
        *,
        compiled: bool = False,
        lane: Lane | None = None,
    ) -> None:
        if compiled:
            _compile(embedder, rows)
        self.embedder = embedder
        self._lane = lane or lane_of(embedder, rows)
        self._filling = Filling(rows)
        self._broken = False
        self._busy_s = 0.0

    @property
    def busy_s(self) -> float:
        """Seconds in which the device has computed the vectors that were given back."""
        return self._lane.busy_s if self._lane else self._busy_s

    def put(self, arrays: Sequence[np.ndarray | Tensor], give_back: GiveBack) -> None:
        """Have images or clips encoded. What else is ready is given back first.

        Args:
            arrays: (B, 3, S, S) uint8 images; or (B, F, 3, S, S) clips and their (B, F) mask. B >= 1. They must not
                change until their vectors are given back.
            give_back: called with their vectors, as the encoder returns them: now, or in a later call of this queue.

        Raises:
            DataError: the encoder returned another number of vectors, of this batch or an earlier one.
            ConfigError: the device has too little memory.
        """
        tensors = [torch.as_tensor(array) for array in arrays]
        if self._lane is None:
            start = time.perf_counter()
            vectors = _encode(self.embedder, tensors)
            self._busy_s += time.perf_counter() - start
            give_back(vectors)
            return
        self._require_whole()
        self._broken = True  # unless this comes to its end: what is under way would go to the wrong places
        self._deliver(self._lane)
        for stretch in self._filling.lay(len(tensors[0]), give_back):
            if self._lane.full:
                self._deliver(self._lane, at_least=1)
            self._lane.copy([tensor[stretch.rows] for tensor in tensors], stretch.place)
            if stretch.fills:
                self._lane.start(self._filling.rows)
        self._broken = False

    def flush(self) -> None:
        """Encode what is left, and give back all vectors. Errors as for `put`."""
        if self._lane is None:
            return
        self._require_whole()
        self._broken = True
        left = self._filling.close()
        if left:
            self._lane.start(left)
        while self._deliver(self._lane, at_least=1):
            pass
        self._broken = False

    def _deliver(self, lane: Lane, *, at_least: int = 0) -> int:
        """Give back what has ended, after waiting for `at_least` batches; the number of batches."""
        count = 0
        while (vectors := lane.ended(wait=count < at_least)) is not None:
            self._filling.take_apart(vectors)
            count += 1
        return count

    def _require_whole(self) -> None:
        if self._broken:
            raise RuntimeError("an error ended this queue before: what is under way in it is lost")


def lane_of(embedder: ImageEmbedder | ClipEmbedder, rows: int) -> Lane | None:
    """What encodes filled batches of an encoder; None: it is on a CPU, or waits for each batch itself."""
    if isinstance(embedder, DeviceEmbedder) and embedder.device.type != "cpu":
        return StreamedLane(embedder, rows)
    return None


def _compile(embedder: ImageEmbedder | ClipEmbedder, rows: int) -> None:
    if not isinstance(embedder, CompilableEmbedder):
        raise not_compiled(embedder.spec.name)
    embedder.compile(rows)


def not_compiled(names: str) -> ConfigError:
    """The error of encoders for which there is no `--compile`."""
    return ConfigError(
        "the encoder cannot be compiled",
        where=names,
        wanted="encoders of the catalog; not a trained model, which reads another number of frames in each batch, "
        "nor LAVIS",
        next_step="leave --compile out",
    )


def _encode(embedder: ImageEmbedder | ClipEmbedder, tensors: Sequence[Tensor]) -> np.ndarray:
    return embedder.encode_clips(*tensors) if isinstance(embedder, ClipEmbedder) else embedder.encode_images(*tensors)


@dataclass(slots=True, eq=False)
class _Slot:
    """The memory of one filled batch.

    Attributes:
        arrays: images, or clips and mask, of a whole batch, on the device.
        sources: the page-locked arrays that are copied to it.
        vectors: page-locked memory for the vectors; None before the first batch.
        rows: number of rows of the batch.
        began, ended: events of the stream that computes, around its encoding.
    """

    arrays: list[Tensor]
    sources: list[Tensor] = field(default_factory=list)
    vectors: Tensor | None = None
    rows: int = 0
    began: Any = None
    ended: Any = None


class StreamedLane:
    """Filled batches on a device with streams. A Lane.

    Rows are copied from page-locked memory by a stream of their own, as they come. An event makes the stream that
    computes wait for the copies of its batch. Vectors are copied back by the stream that computes, since this takes
    little time, and an event tells that they are there. This thread waits for one thing alone: the end of the oldest
    batch, when all slots are taken or nothing else is left.

    A slot is used again when its last event has passed, as this thread has seen. Then no stream reads or writes it, so
    the streams need not wait for each other before the next copy.

    Args:
        embedder: the encoder.
        rows: number of rows of a filled batch.
        streams: torch.cuda, or what has its Stream, Event, stream and current_stream; None: that of the device.
    """

    def __init__(self, embedder: DeviceEmbedder, rows: int, *, streams: Any = None) -> None:
        self.embedder, self.rows, self.busy_s = embedder, rows, 0.0
        self._streams = streams or torch.get_device_module(embedder.device)
        self._pins = embedder.device.type == "cuda"
        self._copying = self._streams.Stream(embedder.device)
        self._computing = self._streams.current_stream(embedder.device)
        self._free: list[_Slot] = []
        self._under_way: deque[_Slot] = deque()
        self._open: _Slot | None = None

    @property
    def full(self) -> bool:
        return self._open is None and len(self._under_way) >= SLOTS

    def copy(self, arrays: Sequence[Tensor], place: int) -> None:
        # A copy that does not wait reads its source later. So the slot holds the sources until its batch has ended:
        # who made them may free or use page-locked memory again that torch's allocator knows nothing of.
        sources = [array.pin_memory() if self._pins and not array.is_pinned() else array for array in arrays]
        if self._open is None:
            self._open = self._free.pop() if self._free else self._slot(sources)
        with self._streams.stream(self._copying):
            for target, source in zip(self._open.arrays, sources, strict=True):
                target[place : place + len(source)].copy_(source, non_blocking=True)
        self._open.sources += sources

    def start(self, rows: int) -> None:
        slot, self._open = self._open, None
        assert slot is not None
        copied = self._streams.Event()
        copied.record(self._copying)
        self._computing.wait_event(copied)
        slot.began, slot.ended = (self._streams.Event(enable_timing=True, blocking=True) for _ in range(2))
        slot.began.record(self._computing)
        with self._streams.stream(self._computing), torch.inference_mode():
            try:
                vectors = self.embedder.device_vectors(*(array[:rows] for array in slot.arrays))
            except torch.OutOfMemoryError as error:
                raise _no_room(self.embedder, rows) from error
            if len(vectors) != rows:
                raise DataError(
                    "frames and vectors differ in number",
                    where=self.embedder.spec.name,
                    got=f"{len(vectors)} vectors",
                    wanted=f"{rows} of a batch",
                )
            if slot.vectors is None:
                slot.vectors = torch.empty((self.rows, *vectors.shape[1:]), pin_memory=self._pins)
            # `vectors` is memory of the stream that computes, and this copy is in that stream: whatever gets the memory
            # next writes it after the copy.
            slot.vectors[:rows].copy_(vectors, non_blocking=True)
        slot.ended.record(self._computing)
        slot.rows = rows
        self._under_way.append(slot)

    def ended(self, *, wait: bool) -> np.ndarray | None:
        if not self._under_way:
            return None
        slot = self._under_way[0]
        if wait:
            slot.ended.synchronize()
        elif not slot.ended.query():
            return None
        self._under_way.popleft()
        self.busy_s += slot.began.elapsed_time(slot.ended) / 1000
        assert slot.vectors is not None
        vectors = slot.vectors[: slot.rows].numpy().copy()  # the slot's own memory is for the next batch
        slot.sources.clear()
        self._free.append(slot)
        return vectors

    def _slot(self, like: Sequence[Tensor]) -> _Slot:
        """A slot for rows of these shapes.

        Its memory belongs to the stream that copies, for torch's allocator, and is marked as read by the one that
        computes. So when a queue is dropped in the middle, no other tensor gets it before both are done with it.
        """
        with self._streams.stream(self._copying):
            shapes = [(self.rows, *array.shape[1:]) for array in like]
            try:
                arrays = [
                    torch.empty(shape, dtype=one.dtype, device=self.embedder.device)
                    for shape, one in zip(shapes, like, strict=True)
                ]
            except torch.OutOfMemoryError as error:
                raise _no_room(self.embedder, self.rows) from error
        for array in arrays:
            if array.is_cuda:
                array.record_stream(self._computing)
        return _Slot(arrays)


def _no_room(embedder: DeviceEmbedder, rows: int) -> ConfigError:
    return ConfigError(
        "the device has too little memory for a batch",
        where=str(embedder.device),
        got=f"{rows} images or clips of {embedder.spec.name}",
        next_step="give a smaller --batch-size, the same to all processes; or --compute-dtype bfloat16",
    )
