"""Frames as a column: which a training and a test see, and that threads, workers and a resumed run see the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clips import SIZE, config_of, make_clip, tokens
from tiny_training import SETTINGS, losses, measure_on, trainer

from avs.core.columns import SequenceColumn, VectorColumn
from avs.core.errors import ConfigError
from avs.models.clip4clip import Clip4Clip
from avs.train.data import Draw, FeatureTable, Pairs
from avs.train.frame_choice import FrameChoice
from avs.train.frame_column import ChainedGrids, FrameColumn
from avs.train.sampler import EpochSampler

COUNTS = (30, 3, 60, 12)
VIDEO_OF = np.arange(40) % 4


@dataclass(eq=False)
class NumberedFrames:
    """Pictures whose red says which video and whose green says which frame they are of."""

    counts: tuple[int, ...] = COUNTS
    size: int = 2
    first: int = 0
    offsets: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.offsets = np.cumsum([0, *self.counts])

    def decode(self, position: int, frames: np.ndarray) -> np.ndarray:
        pictures = np.full((len(frames), 3, self.size, self.size), 7, dtype=np.uint8)
        pictures[:, 0] = 1 + self.first + position
        pictures[:, 1] = np.asarray(frames)[:, None, None]
        return pictures


def column(policy: str = "random", **options: object) -> FrameColumn:
    return FrameColumn(NumberedFrames(), FrameChoice(8, policy), **options)  # type: ignore[arg-type]


def pairs(column: FrameColumn) -> Pairs:
    texts = FeatureTable({"bow": VectorColumn(np.eye(40, dtype=np.float32))}, {"bow": np.arange(40)})
    videos = FeatureTable({"frames": column}, {"frames": np.arange(4)})
    return Pairs([f"v{n}#0" for n in range(40)], texts, videos, VIDEO_OF)


def seen(values: np.ndarray, lengths: np.ndarray) -> list[list[int]]:
    return [values[n, :length, 1, 0, 0].tolist() for n, length in enumerate(lengths.tolist())]


def test_a_batch_has_the_chosen_frames_of_each_row_and_black_after_its_end() -> None:
    values, lengths = column().take_for(np.array([2, 1, 2]), epoch=3, captions=np.array([5, 6, 7]))
    assert values.shape == (3, 8, 3, 2, 2) and values.dtype == np.uint8
    assert lengths.tolist() == [8, 3, 8] and lengths.dtype == np.int64
    choice = FrameChoice(8, "random")
    assert seen(values, lengths) == [
        choice.places(COUNTS[row], (0, 3, 5 + n)).tolist() for n, row in enumerate((2, 1, 2))
    ]
    assert seen(values, lengths)[0] != seen(values, lengths)[2]  # another caption of the same video
    assert (values[:, :3, 0] == np.array([3, 2, 3])[:, None, None, None]).all()
    assert not values[1, 3:].any()


def test_rows_that_are_all_short_make_a_short_batch() -> None:
    values, lengths = column().take(np.array([1, 1]))
    assert values.shape[1] == 3 and lengths.tolist() == [3, 3]
    assert column().take(np.array([], dtype=int))[0].shape == (0, 0, 3, 2, 2)


def test_a_test_sees_linspace_whatever_the_epoch() -> None:
    values, lengths = column("jittered").take(np.array([0, 2]))
    assert seen(values, lengths) == [FrameChoice(8).places(count, (0, 0, 0)).tolist() for count in (30, 60)]
    table = FeatureTable({"frames": column("jittered")}, {"frames": np.arange(4)})
    assert torch.equal(table.batch(np.array([0, 2])).sequences["frames"].values, torch.from_numpy(values))


@pytest.mark.parametrize("policy", ["random", "jittered"])
def test_seed_epoch_and_caption_decide(policy: str) -> None:
    rows, captions = np.array([2]), np.array([9])
    one = column(policy).take_for(rows, 1, captions)[0]
    assert np.array_equal(column(policy).take_for(rows, 1, captions)[0], one)
    assert not np.array_equal(column(policy).take_for(rows, 2, captions)[0], one)
    assert not np.array_equal(column(policy).take_for(rows, 1, captions + 1)[0], one)
    assert not np.array_equal(column(policy, seed=1).take_for(rows, 1, captions)[0], one)


def test_threads_change_nothing() -> None:
    rows, captions = np.arange(4).repeat(5), np.arange(20)
    one, three = (column(threads=threads).take_for(rows, 1, captions) for threads in (1, 3))
    assert np.array_equal(one[0], three[0]) and np.array_equal(one[1], three[1])


def test_workers_and_a_resumed_epoch_see_the_same_frames() -> None:
    data, whole = pairs(column()), {}
    for epoch in (1, 2):
        for captions in EpochSampler(40, 8, seed=0).batches(epoch):
            frames = data.batch(captions, epoch).videos.sequences["frames"]
            for n, caption in enumerate(captions.tolist()):
                whole[epoch, caption] = frames.values[n, : frames.lengths[n]]
    assert any(not torch.equal(whole[1, n], whole[2, n]) for n in range(40))
    for rank in (0, 1):
        for captions in EpochSampler(40, 8, seed=0, rank=rank, workers=2).batches(2, first=3):
            frames = data.batch(captions, 2).videos.sequences["frames"]
            for n, caption in enumerate(captions.tolist()):
                assert torch.equal(frames.values[n, : frames.lengths[n]], whole[2, caption])


class Spy(FrameColumn):
    """A column that records the epochs and captions it is asked for."""

    asked: list[tuple[int, int]] = []

    def take_for(self, rows: np.ndarray, epoch: int, captions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked.extend((epoch, caption) for caption in captions.tolist())
        return FrameColumn.take_for(self, rows, epoch, captions)


def clip4clip_pairs(kind: type[FrameColumn]) -> Pairs:
    words = tokens(*[5] * 40)
    column = kind(NumberedFrames(size=SIZE), FrameChoice(4, "random"), threads=2)
    texts = FeatureTable(
        {"clip-tokens": SequenceColumn(words.values.numpy().reshape(-1), np.arange(41) * 5)},
        {"clip-tokens": np.arange(40)},
    )
    return Pairs(
        [f"v{n}#0" for n in range(40)], texts, FeatureTable({"frames": column}, {"frames": np.arange(4)}), VIDEO_OF
    )


def train(folder: Path, epochs: int, kind: type[FrameColumn] = FrameColumn) -> list[float]:
    torch.manual_seed(0)
    model, data = Clip4Clip(config_of(make_clip())), clip4clip_pairs(kind)
    settings = replace(SETTINGS, epochs=epochs, batch_size=8)
    trainer(folder, settings, model=model, pairs=data, validate=measure_on(data)).run()
    return losses(folder)


def test_a_training_on_pixels_asks_for_every_caption_of_every_epoch_and_resumes_to_the_same_losses(
    tmp_path: Path,
) -> None:
    whole = train(tmp_path / "whole", 3, Spy)
    assert sorted(Spy.asked)[:120] == [(epoch, caption) for epoch in range(3) for caption in range(40)]
    train(tmp_path / "resumed", 2)
    assert train(tmp_path / "resumed", 3) == whole


def test_a_video_without_frames_is_told() -> None:
    table = FeatureTable({"frames": column()}, {"frames": np.array([2, -1])})
    batch = table.batch(np.array([0, 1]), Draw(1, np.array([4, 5])))
    assert batch.present["frames"].tolist() == [True, False]


def test_an_error_in_a_thread_is_raised() -> None:
    class Broken(NumberedFrames):
        def decode(self, position: int, frames: np.ndarray) -> np.ndarray:
            raise OSError("broken data stream")

    with pytest.raises(OSError, match="broken data stream"):
        replace(column(threads=2), grids=Broken()).take(np.array([0, 1]))


def test_grids_of_several_collections_follow_each_other() -> None:
    other = NumberedFrames((5, 9), first=4)
    chained = ChainedGrids((NumberedFrames(), other))
    both = FrameColumn(chained, FrameChoice(8))
    assert len(both) == 6 and both.dim == 12
    values, lengths = both.take(np.array([5, 0, 4]))
    assert lengths.tolist() == [8, 8, 5]
    assert values[:, 0, 0, 0, 0].tolist() == [6, 1, 5]
    with pytest.raises(IndexError):
        chained.decode(6, np.array([0]))
    with pytest.raises(ConfigError, match="one size"):
        ChainedGrids((NumberedFrames(), NumberedFrames(size=3)))


def test_no_thread_is_an_error() -> None:
    with pytest.raises(ConfigError, match="at least one thread"):
        column(threads=0)
