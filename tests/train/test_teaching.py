"""Lessons: of all pairs of the batch, of every teacher, with videos embedded once or with the batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_clips import clip_pairs, make_clip
from tiny_loops import OWN, TEACHCLIP, gradients, loop_of, make_teacher
from tiny_training import losses, trainer
from torch import Tensor

from avs.core.progress import Reporter
from avs.models.architectures.teachclip import TeachClipConfig
from avs.models.batch import Batch
from avs.models.teachclip import TeachClip
from avs.train.data import PairBatch, Pairs
from avs.train.distributed import Workers
from avs.train.frame_choice import FrameChoice
from avs.train.settings import Settings
from avs.train.teaching import PAIRS_AT_ONCE, Taught, Teaching, table_path, video_rows


class FakeTeacher:
    """Scores from 0 on, row by row; the relevance of a frame is its place."""

    text_features, video_features = ("words of another name",), ("frames of another name",)

    def __init__(self, slope: float = 1.0) -> None:
        self.slope, self.seen = slope, 0

    def embed_texts(self, texts: Batch) -> Tensor:
        return texts.sequences["words of another name"].values[:, :1] * 0.0 + self.slope

    def embed_videos(self, videos: Batch) -> Tensor:
        self.seen += len(videos)
        return videos.sequences["frames of another name"].lengths[:, None].float()

    def logits(self, texts: Tensor, videos: Tensor) -> Tensor:
        return texts @ videos.T

    def frame_relevance(self, texts: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.arange(6) < videos
        return torch.where(mask, torch.arange(6.0) * texts, 0.0), mask


def whole_batch(pairs: Pairs) -> PairBatch:
    return pairs.batch(np.arange(len(pairs)))


def test_a_lesson_has_the_scores_of_all_pairs_and_the_relevance_of_the_matching_ones() -> None:
    batch = whole_batch(clip_pairs(8))
    first, second = Teaching([Taught(FakeTeacher()), Taught(FakeTeacher(2.0))]).lessons(batch, Workers(), "cpu")
    lengths = torch.tensor([2.0 + n % 3 for n in range(8)])
    assert torch.equal(first.scores, lengths.expand(8, 8)) and torch.equal(second.scores, 2 * first.scores)
    assert first.mask.sum(dim=1).tolist() == lengths.tolist()
    assert first.relevance[2].tolist() == [0, 1, 2, 3, 0, 0]


def test_a_large_batch_is_embedded_in_parts_and_in_order() -> None:
    count = PAIRS_AT_ONCE + 8
    (lesson,) = Teaching([Taught(FakeTeacher())]).lessons(whole_batch(clip_pairs(count)), Workers(), "cpu")
    assert lesson.scores[0].tolist() == [2.0 + n % 3 for n in range(count)]


def test_a_table_is_made_once_and_gives_the_same_lessons(tmp_path: Path) -> None:
    pairs, taught = clip_pairs(8), make_teacher(1)
    path = table_path(tmp_path, "0123456789abcdef-and-more")
    assert path.name == ".teacher-0123456789abcdef.npy"
    options = {"device": "cpu", "workers": Workers(), "reporter": Reporter(quiet=True)}
    rows = video_rows(taught.model, pairs.videos, path, **options)
    assert rows.dtype == np.float16 and isinstance(rows, np.memmap) and len(rows) == 8
    fake = FakeTeacher()
    assert video_rows(fake, pairs.videos, path, **options).shape == rows.shape and fake.seen == 0
    batch = pairs.batch(np.array([5, 2, 7]))
    (kept,) = Teaching([Taught(taught.model, rows)]).lessons(batch, Workers(), "cpu")
    (made,) = Teaching([taught]).lessons(batch, Workers(), "cpu")
    assert torch.allclose(kept.scores, made.scores, atol=0.05)  # of up to 14, from vectors of three digits
    assert torch.allclose(kept.relevance, made.relevance, atol=1e-3) and torch.equal(kept.mask, made.mask)
    assert made.scores.std() > 0.2 and not made.scores.requires_grad


@pytest.mark.parametrize("damage", ["a bit", "the end", "all but a byte"])
def test_a_damaged_table_is_made_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    videos, path = clip_pairs(8).videos, tmp_path / ".teacher-0.npy"
    options = {"device": "cpu", "workers": Workers(), "reporter": Reporter(quiet=False)}
    wanted = np.array(video_rows(FakeTeacher(), videos, path, **options))
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[-40] ^= 64
    path.write_bytes({"a bit": bytes(changed), "the end": whole[:-1], "all but a byte": whole[:1]}[damage])
    again = FakeTeacher()
    assert np.array_equal(video_rows(again, videos, path, **options), wanted)
    assert again.seen == 8 and path.read_bytes() == whole
    assert "was changed after it was written, so it is made again" in capsys.readouterr().err


def test_a_table_that_was_not_finished_leaves_nothing(tmp_path: Path) -> None:
    class Broken(FakeTeacher):
        def embed_videos(self, videos: Batch) -> Tensor:
            raise KeyboardInterrupt

    options = {"device": "cpu", "workers": Workers(), "reporter": Reporter(quiet=True)}
    with pytest.raises(KeyboardInterrupt):
        video_rows(Broken(), clip_pairs(4).videos, tmp_path / "t.npy", **options)
    assert not list(tmp_path.iterdir())


def test_the_gradient_of_chunks_is_that_of_the_batch(tmp_path: Path) -> None:
    """The lessons are those of the whole batch, not of a chunk."""
    whole = gradients(loop_of(tmp_path, TEACHCLIP, None))
    chunks = gradients(loop_of(tmp_path, TEACHCLIP, 3))
    assert whole["aggregation.linear1.weight"].abs().max() > 0
    for name, gradient in whole.items():
        torch.testing.assert_close(chunks[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    clip = make_clip()
    plain = json.loads(json.dumps(clip.config.to_dict()))
    config = TeachClipConfig(plain, **{**OWN, "own_weight": 0.0, "backbone_ratio": 1.0})
    student = TeachClip(config)
    student.start_from(clip)
    settings = Settings(optimiser="bert-adam", learning_rate=1e-3, batch_size=8, epochs=8, patience=8, average_last=0)
    options = {"model": student, "pairs": clip_pairs(), "validate": lambda model: {"MRR": 0.0}}
    trainer(tmp_path, settings, teaching=Teaching([make_teacher(1)]), **options).run()
    found = losses(tmp_path)
    assert found[-1] < 0.8 * found[0]


@pytest.mark.parametrize(
    ("choice", "draws"),
    [({}, False), ({"policy": "tail", "order": "reversed"}, False), ({"policy": "random"}, True)]
    + [({"policy": "jittered"}, True), ({"order": "shuffled"}, True)],
)
def test_which_frames_are_drawn(choice: dict[str, str], draws: bool) -> None:
    chosen = replace(FrameChoice(4), **choice)
    assert chosen.draws == draws
    seen = {tuple(chosen.places(40, (0, epoch, 3)).tolist()) for epoch in range(9)}
    assert (len(seen) > 1) == draws
    if not draws:
        assert chosen.in_test == chosen
