"""Weights in the layout of the authors' X-CLIP: they give the scores that the layout stands for, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from their_clip4clip import DIM, SIZE, WORDS
from their_xclip import their_xclip
from tiny_stores import make_store
from torch import Tensor

from avs.cli.main import main
from avs.models.architectures import make_config, make_model
from avs.models.batch import Batch, Sequences
from avs.models.importers import ForeignWeights, Imported, importers
from avs.models.xclip import XClip
from avs.train.checkpoint import read_checkpoint

FRAMES, LONGEST = 4, 9
MATRICES = {
    "global_mat_weight": "sentence_to_video", "local_mat_weight": "word_to_frame",
    "word_logit_weight": "words_for_video", "word_mat_weight": "words_for_frame",
    "word_mat_weight2": "words_of_sentence", "frame_logit_weight": "frames_for_sentence",
    "frame_mat_weight": "frames_for_word", "frame_mat_weight2": "frames_of_video",
}  # fmt: skip


def state_of(**options: Any) -> dict[str, Tensor]:
    return their_xclip(words=LONGEST, frames=FRAMES, **options)


def convert(state: dict[str, Tensor], **stated: Any) -> Imported:
    return importers.get("xclip").convert(ForeignWeights(state), {}, stated)


def command(state: object, out: Path, *more: str) -> list[str]:
    file = out.parent / "theirs.pt"
    torch.save(state, file)
    line = ["import-checkpoint", str(file), "--architecture", "xclip", "--tokenizer", "mini-clip", *more]
    return [*line, "-o", str(out)]


def failure(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


@torch.no_grad()
def their_logits(state: dict[str, Tensor], texts: Tensor, videos: Tensor, model: XClip) -> Tensor:
    """(T, B), pair by pair with all words and frames, as their code multiplies; of embeddings by `model`."""
    matrix = {name: state[name] for name in MATRICES}
    made = torch.empty(len(texts), len(videos))
    for i, (t, w) in enumerate(zip(*model.similarity.split_texts(texts)[:2], strict=True)):
        for j, (v, x) in enumerate(zip(*model.similarity.split_videos(videos)[:2], strict=True)):
            fine = w @ matrix["local_mat_weight"] @ x.T
            by_frame = ((fine.T / 0.01).softmax(1) @ matrix["word_mat_weight"] * fine.T).sum(1)
            by_word = ((fine / 0.01).softmax(1) @ matrix["frame_mat_weight"] * fine).sum(1)
            made[i, j] = (
                t @ matrix["global_mat_weight"] @ v
                + (((w @ v) / 0.01).softmax(0) @ matrix["word_logit_weight"] * (w @ v)).sum()
                + (((x @ t) / 0.01).softmax(0) @ matrix["frame_logit_weight"] * (x @ t)).sum()
                + ((by_frame / 0.01).softmax(0) @ matrix["frame_mat_weight2"] * by_frame).sum() / 2
                + ((by_word / 0.01).softmax(0) @ matrix["word_mat_weight2"] * by_word).sum() / 2
            )
    return torch.exp(state["clip.logit_scale"]) * made / 4


def batches() -> tuple[Batch, Batch]:
    """Three texts and videos, shorter than the matrices."""
    torch.manual_seed(1)
    tokens, lengths = torch.zeros(3, 7, dtype=torch.long), torch.tensor([7, 3, 6])
    for row, length in zip(tokens, lengths.tolist(), strict=True):
        row[:length] = torch.tensor([WORDS - 2, *torch.randint(1, WORDS - 2, (length - 2,)).tolist(), WORDS - 1])
    pixels = torch.randint(0, 256, (3, 3, 3, SIZE, SIZE), dtype=torch.uint8)
    return (
        Batch({}, {"clip-tokens": Sequences(tokens, lengths)}),
        Batch({}, {"frames": Sequences(pixels, torch.tensor([3, 1, 2]))}),
    )


@torch.no_grad()
def test_imported_weights_score_as_in_their_code() -> None:
    state = state_of()
    imported = convert(state)
    assert (imported.options["head"], imported.options["layers"], imported.options["legacy"]) == ("seqTransf", 3, True)
    assert (imported.options["max_words"], imported.options["max_frames"]) == (LONGEST, FRAMES)
    inputs = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}}
    model = make_model("xclip", make_config("xclip", {**imported.options, **inputs}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, XClip)
    texts, videos = batches()
    rows = model.embed_texts(texts), model.embed_videos(videos)
    wanted = their_logits(state, *rows, model)
    assert wanted.std() > 0.01
    torch.testing.assert_close(model.logits(*rows), wanted, atol=1e-5, rtol=1e-5)


def test_half_precision_becomes_single_and_every_matrix_has_its_place() -> None:
    state = {name: tensor.half() for name, tensor in state_of().items()}
    weights = convert(state).weights
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    for name, ours in MATRICES.items():
        assert torch.equal(weights[f"similarity.{ours}"], state[name].float())


def test_the_checkpoint_reranks_and_says_what_it_reads(tmp_path: Path) -> None:
    assert main(command(state_of(), tmp_path / "authors", "--quiet")) == 0
    checkpoint = read_checkpoint(tmp_path / "authors")
    assert checkpoint.architecture == "xclip" and checkpoint.config["legacy"]
    assert checkpoint.sampling["choice"]["frames"] == FRAMES
    (spec,) = checkpoint.video_features.values()
    rows = np.random.default_rng(0).standard_normal((6, DIM)).astype(np.float32)
    store = tmp_path / "store/frame"
    make_store(store, rows, lengths=np.array([3, 1, 2]), spec=spec)
    (tmp_path / "c.txt").write_text("shot00001_1#0 a red car\nshot00001_2#0 two dogs\n")
    line = ["eval-retrieval", "--checkpoint", str(tmp_path / "authors"), "--captions", str(tmp_path / "c.txt")]
    assert main([*line, "--store", str(store), "--quiet"]) == 0
    assert main(command(state_of(), tmp_path / "masked", "--option", "legacy=false", "--quiet")) == 0
    assert not read_checkpoint(tmp_path / "masked").config["legacy"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["max_frames=12"], "--option max_frames: got 12, but it is 4"),
        (["max_words=32"], "--option max_words: got 32, but it is 9"),
        (["tight=paper"], "unknown option tight"),
        (["temperature=0"], "temperature: got 0"),
    ],
)
def test_options_that_the_weights_decide_or_that_do_not_exist(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [word for option in options for word in ("--option", option)]
    assert said in failure(command(state_of(), tmp_path / "out", *more), capsys)
    assert not (tmp_path / "out").exists()


def test_tensors_without_a_counterpart_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = state_of()
    del state["word_mat_weight2"], state["clip.visual.proj"]
    told = failure(command({**state, "word_mat_weight3": torch.ones(2)}, tmp_path / "out"), capsys)
    assert "not the weights of an X-CLIP by its authors" in told
    for part in ("word_mat_weight2: is wanted", "clip.visual.proj: is wanted", "word_mat_weight3: has no place"):
        assert part in told
    for name, tensor, part in (
        ("frame_mat_weight", torch.ones(5, 4), "similarity.frames_for_word: has shape [5, 4], wanted [4, 4]"),
        ("local_mat_weight", torch.ones(3, 3), "similarity.word_to_frame: has shape [3, 3], wanted [128, 128]"),
        ("global_mat_weight", torch.full((DIM, DIM), torch.nan), "global_mat_weight: has values that are not finite"),
        ("word_logit_weight", torch.tensor(1.0), "max_words: got 0"),
    ):
        assert part in failure(command({**state_of(), name: tensor}, tmp_path / "out"), capsys)
    assert "word_logit_weight: is wanted" in failure(command(their_clip4clip(), tmp_path / "out"), capsys)
    conv = {**state_of(), "clip.visual.conv2.weight": torch.zeros(64, 3, 3, 16, 16)}
    assert "patches over three frames" in failure(command(conv, tmp_path / "out"), capsys)


def their_clip4clip() -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state_of().items() if name not in MATRICES}
