"""Queues in front of encoders. Streams are imitated where there is no GPU: what is tested is what waits for what."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_streams import Streams

from avs.core.errors import ConfigError, DataError
from avs.features.device_queue import SLOTS, EncodingQueue, StreamedLane, lane_of
from avs.features.embedder import load_embedder
from avs.features.encoders import ImageEncoder

DIM = 2


class Sums:
    """An encoder of which the vector of an image is the sum of its pixels, twice. It notes the sizes of its batches."""

    def __init__(self, *, broken_after: int = 1000, lost: int = 0, error: Exception | None = None) -> None:
        self.device, self.sizes = torch.device("cpu"), list[int]()
        self.broken_after, self.lost, self.error = broken_after, lost, error or ValueError("the encoder broke")

    class spec:  # noqa: N801
        name = "sums"

    preprocessing = None

    def device_vectors(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        if len(self.sizes) > self.broken_after:
            raise self.error
        return images.float().flatten(1).sum(1, keepdim=True).repeat(1, DIM)[self.lost :]

    def encode_images(self, images: torch.Tensor) -> np.ndarray:
        return self.device_vectors(images).numpy()


class LoggedSums(Sums):
    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self.streams, self.memory = streams, set[int]()

    def device_vectors(self, images: torch.Tensor) -> torch.Tensor:
        self.streams.log.append(f"{self.streams.within} encodes")
        self.memory.add(images.data_ptr())
        return super().device_vectors(images)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 4, 4), dtype=np.uint8)


def streamed(embedder: Any, rows: int, streams: Any = None) -> EncodingQueue:
    return EncodingQueue(embedder, rows, lane=StreamedLane(embedder, rows, streams=streams or Streams()))


def put_all(queue: EncodingQueue, batches: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
    back: list[tuple[int, np.ndarray]] = []
    for number, batch in enumerate(batches):
        queue.put([batch], lambda vectors, number=number: back.append((number, vectors)))
    queue.flush()
    return back


def test_on_a_cpu_every_batch_is_encoded_at_once_as_it_is() -> None:
    embedder, back = Sums(), []
    queue = EncodingQueue(embedder, 4)  # type: ignore[arg-type]
    for count in (3, 4, 1):
        queue.put([images(count)], back.append)
        np.testing.assert_array_equal(back[-1], Sums().encode_images(torch.as_tensor(images(count))))
    assert embedder.sizes == [3, 4, 1]
    queue.flush()
    assert len(back) == 3 and queue.busy_s > 0


def test_an_encoder_that_has_only_encode_images_is_waited_for() -> None:
    class Plain:
        def encode_images(self, batch: torch.Tensor) -> np.ndarray:
            return np.full((len(batch), DIM), 7.0)

    back: list[np.ndarray] = []
    EncodingQueue(Plain(), 4).put([images(2)], back.append)  # type: ignore[arg-type]
    assert back[0].tolist() == [[7.0] * DIM] * 2


def test_clips_and_their_masks_stay_together() -> None:
    class Clips(Sums):
        clip_frames = 2

        def device_vectors(self, clips: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            return (clips.float() * mask[..., None, None, None]).flatten(1).sum(1, keepdim=True)

        def encode_clips(self, clips: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
            return self.device_vectors(clips, mask).numpy()

    embedder, rng = Clips(), np.random.default_rng(0)
    clips = rng.integers(0, 256, (9, 2, 3, 4, 4), dtype=np.uint8)
    mask = rng.random((9, 2)) < 0.5
    expected = embedder.encode_clips(torch.as_tensor(clips), torch.as_tensor(mask))
    for queue in (EncodingQueue(embedder, 4), streamed(embedder, 4)):  # type: ignore[arg-type]
        back: list[np.ndarray] = []
        for start in range(0, 9, 3):
            queue.put([clips[start : start + 3], mask[start : start + 3]], back.append)
        queue.flush()
        np.testing.assert_array_equal(np.concatenate(back), expected)


def test_filled_batches_are_full_but_the_last_and_vectors_come_back_in_order() -> None:
    embedder, counts = Sums(), [3, 1, 7, 2, 2, 6, 5, 1, 4]
    batches = [images(count, seed) for seed, count in enumerate(counts)]
    back = put_all(streamed(embedder, 4), batches)
    assert embedder.sizes == [4] * 7 + [3]
    assert [number for number, _ in back] == list(range(len(counts)))
    for (_, vectors), batch in zip(back, batches, strict=True):
        np.testing.assert_array_equal(vectors, Sums().encode_images(torch.as_tensor(batch)))


def test_a_batch_is_encoded_after_its_copies_and_the_host_waits_only_for_a_free_slot() -> None:
    streams = Streams()
    embedder = LoggedSums(streams)
    queue, back = streamed(embedder, 2, streams), list[np.ndarray]()
    for number in range(SLOTS + 2):
        queue.put([images(2, number)], back.append)
    started = ["event of copying", "computing waits for copying", "event of computing", "computing encodes"]
    started += ["event of computing"]
    assert streams.log == started * SLOTS + ["host waits", *started] * 2
    assert len(back) == 2 and len(embedder.memory) == SLOTS
    assert queue.busy_s == 0.5
    queue.flush()
    assert streams.log.count("host waits") == SLOTS + 2 and len(back) == SLOTS + 2
    assert len(embedder.memory) == SLOTS


def test_what_has_ended_is_given_back_without_waiting() -> None:
    streams = Streams()
    queue, back = streamed(Sums(), 2, streams), list[np.ndarray]()
    queue.put([images(2)], back.append)
    queue.put([images(1)], back.append)
    assert back == []
    lane = queue._lane
    assert isinstance(lane, StreamedLane)
    lane._under_way[0].ended.passed = True
    queue.put([images(1)], back.append)
    assert len(back) == 1 and "host waits" not in streams.log


def test_vectors_that_came_back_do_not_change_when_their_slot_is_used_again() -> None:
    queue, back = streamed(Sums(), 2), list[np.ndarray]()
    for number in range(3 * SLOTS):
        queue.put([images(2, number)], back.append)
    queue.flush()
    for number, vectors in enumerate(back):
        np.testing.assert_array_equal(vectors, Sums().encode_images(torch.as_tensor(images(2, number))))


def test_what_is_copied_is_kept_until_its_batch_has_ended() -> None:
    queue, batch = streamed(Sums(), 2), images(2)
    kept = weakref.ref(batch)
    queue.put([batch], lambda vectors: None)
    del batch
    gc.collect()
    assert kept() is not None
    queue.flush()
    assert kept() is None


@pytest.mark.parametrize("count", [1, 2, 5])
def test_after_an_error_nothing_comes_back_to_a_wrong_place(count: int) -> None:
    queue, back = streamed(Sums(broken_after=2), 4), list[np.ndarray]()
    queue.put([images(9)], back.append)
    with pytest.raises(ValueError, match="the encoder broke"):
        for _ in range(4):
            queue.put([images(count)], back.append)
        queue.flush()
    for call in (queue.flush, lambda: queue.put([images(4)], back.append)):
        with pytest.raises(RuntimeError, match="an error ended this queue before"):
            call()
    assert back == []


def test_an_encoder_that_loses_an_image_of_a_filled_batch_is_noticed() -> None:
    with pytest.raises(DataError, match="frames and vectors differ in number") as caught:
        put_all(streamed(Sums(lost=1), 4), [images(3), images(3)])
    assert (caught.value.where, caught.value.got, caught.value.wanted) == ("sums", "3 vectors", "4 of a batch")


def test_a_device_without_room_for_a_batch_says_what_to_do() -> None:
    embedder = Sums(broken_after=0, error=torch.OutOfMemoryError("20 GiB"))
    with pytest.raises(ConfigError, match="too little memory for a batch") as caught:
        put_all(streamed(embedder, 4), [images(4)])
    assert caught.value.got == "4 images or clips of sums" and "--batch-size" in str(caught.value.next_step)


@pytest.fixture(scope="module")
def clip(checkpoints: dict[str, Path]) -> ImageEncoder:
    return load_embedder("clip", weights=checkpoints["clip"])  # type: ignore[return-value]


def test_filling_changes_no_more_than_rounding(clip: ImageEncoder) -> None:
    batches = [clip.preprocess(np.random.default_rng(n).integers(0, 256, (n, 20, 24, 3), np.uint8)) for n in (3, 6, 2)]
    assert lane_of(clip, 4) is None
    found = [vectors for _, vectors in put_all(streamed(clip, 4), batches)]
    for vectors, batch in zip(found, batches, strict=True):
        np.testing.assert_allclose(vectors, clip.encode_images(batch), atol=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("pinned", [True, False])
def test_a_gpu_gives_through_its_queue_what_it_gives_alone(checkpoints: dict[str, Path], pinned: bool) -> None:
    cuda = load_embedder("clip", weights=checkpoints["clip"], device="cuda")
    assert isinstance(cuda, ImageEncoder) and isinstance(lane_of(cuda, 8), StreamedLane)
    rng = np.random.default_rng(0)
    batches = [cuda.preprocess(rng.integers(0, 256, (n, 20, 24, 3), np.uint8)) for n in rng.integers(1, 30, 40)]
    queue = EncodingQueue(cuda, 8)
    found = put_all(queue, [batch.pin_memory() if pinned else batch for batch in batches])
    assert [number for number, _ in found] == list(range(40))
    for (_, vectors), batch in zip(found, batches, strict=True):
        np.testing.assert_allclose(vectors, cuda.encode_images(batch), atol=1e-4)
    assert queue.busy_s > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_queue_dropped_in_the_middle_leaves_the_memory_of_others_alone(checkpoints: dict[str, Path]) -> None:
    cuda = load_embedder("clip", weights=checkpoints["clip"], device="cuda")
    assert isinstance(cuda, ImageEncoder)
    batch = cuda.preprocess(np.zeros((64, 20, 24, 3), np.uint8)).pin_memory()
    for _ in range(20):
        queue = EncodingQueue(cuda, 64)
        for _ in range(SLOTS):
            queue.put([batch], lambda vectors: None)
        del queue
        marks = [torch.full((64, 3, 32, 32), 77, dtype=torch.uint8, device="cuda") for _ in range(2 * SLOTS)]
        torch.cuda.synchronize()
        assert all(bool((mark == 77).all()) for mark in marks)
