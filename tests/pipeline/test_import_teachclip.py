"""Weights in the layout of the authors' TeachCLIP: they give the vectors that the layout stands for, or an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from their_clip4clip import DIM, SIZE, WORDS
from their_clip4clip import theirs as their_clip4clip
from their_teachclip import their_teachclip
from their_xclip import their_xclip
from torch import Tensor
from torch.nn import functional as F

from avs.cli.main import main
from avs.models.architectures import make_config, make_model
from avs.models.batch import Batch, Sequences
from avs.models.importers import ForeignWeights, Imported, importers
from avs.models.teachclip import TeachClip
from avs.train.checkpoint import read_checkpoint

FRAMES = 6
LAYERS = ("frameLinear.weight", "frameLinear.bias", "frameLinear2.weight", "frameLinear2.bias")


def convert(state: dict[str, Tensor], **stated: Any) -> Imported:
    return importers.get("teachclip").convert(ForeignWeights(state), {}, stated)


def command(state: object, out: Path, *more: str) -> list[str]:
    file = out.parent / "theirs.pt"
    torch.save(state, file)
    line = ["import-checkpoint", str(file), "--architecture", "teachclip", "--tokenizer", "mini-clip", *more]
    return [*line, "-o", str(out)]


def failure(line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(line) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error and not Path(line[-1]).exists()
    return error


def model_of(imported: Imported) -> TeachClip:
    inputs = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}}
    model = make_model("teachclip", make_config("teachclip", {**imported.options, "max_frames": FRAMES, **inputs}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, TeachClip)
    return model.eval()


@torch.no_grad()
def test_imported_weights_weigh_frames_and_pads_as_in_their_code() -> None:
    state = their_teachclip()
    imported = convert(state, max_frames=FRAMES)
    assert imported.options["layers"] == 3 and imported.options["legacy"] and not imported.left_out
    model, lengths = model_of(imported), (3, 1, 6)
    torch.manual_seed(1)
    pixels = torch.randint(0, 256, (3, FRAMES, 3, SIZE, SIZE), dtype=torch.uint8)
    videos = Batch({}, {"frames": Sequences(pixels, torch.tensor(lengths))})
    frames, mask = model.filled(*model.frames_of(videos))
    outputs = model.head.outputs(frames, mask)
    hidden = F.relu(outputs @ state["frameLinear.weight"].T + state["frameLinear.bias"])
    weights = hidden @ state["frameLinear2.weight"].T + state["frameLinear2.bias"]
    wanted = (F.normalize(outputs, dim=2) * (weights / 0.1).softmax(1)).sum(1)
    torch.testing.assert_close(model.embed_videos(videos), F.normalize(wanted, dim=1), atol=1e-5, rtol=1e-5)


def test_half_precision_becomes_single_and_every_layer_has_its_place() -> None:
    state = {name: tensor.half() for name, tensor in their_teachclip().items()}
    weights = convert(state).weights
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    for name in LAYERS:
        ours = name.replace("frameLinear.", "aggregation.linear1.").replace("frameLinear2.", "aggregation.linear2.")
        assert torch.equal(weights[ours], state[name].float())


def test_the_checkpoint_embeds_and_says_what_it_reads(tmp_path: Path) -> None:
    sizes = ["--option", "max_frames=6", "--option", "max_words=9"]
    assert main(command(their_teachclip(), tmp_path / "authors", *sizes, "--quiet")) == 0
    checkpoint = read_checkpoint(tmp_path / "authors")
    assert checkpoint.architecture == "teachclip" and checkpoint.config["legacy"]
    assert checkpoint.config["max_words"] == checkpoint.text_features[0]["max_words"] == 9
    assert checkpoint.sampling["choice"]["frames"] == FRAMES and checkpoint.sampling["interval_s"] == 1
    frames = Sequences(torch.randint(0, 256, (2, 3, 3, SIZE, SIZE), dtype=torch.uint8), torch.tensor([3, 1]))
    rows = checkpoint.load_model().embed_videos(Batch({}, {"authors/frame": frames}))
    assert rows.shape == (2, DIM) and torch.allclose(rows.norm(dim=1), torch.ones(2), atol=1e-5)
    assert main(["info", str(tmp_path / "authors"), "--verify"]) == 0
    assert main(command(their_teachclip(), tmp_path / "masked", "--option", "legacy=false", "--quiet")) == 0
    assert not read_checkpoint(tmp_path / "masked").config["legacy"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["layers=4"], "--option layers: got 4, but it is 3"),
        (["max_frames=41"], "max_frames: got 41"),
        (["max_words=41"], "max_words: got 41"),
        (["head=meanP"], "unknown option head"),
        (["coarse_weight=-1"], "coarse_weight: got -1"),
    ],
)
def test_options_that_the_weights_decide_or_that_do_not_fit(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = [word for option in options for word in ("--option", option)]
    assert said in failure(command(their_teachclip(), tmp_path / "out", *more), capsys)


def test_tensors_without_a_counterpart_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = their_teachclip()
    del state["frameLinear2.bias"], state["clip.visual.proj"]
    told = failure(
        command({**state, "frametransformer.resblocks.0.ln_1.bias": torch.ones(2)}, tmp_path / "out"), capsys
    )
    assert "not the weights of a TeachCLIP by its authors" in told
    for part in (
        "frameLinear2.bias: is wanted",
        "clip.visual.proj: is wanted",
        "frametransformer.resblocks.0.ln_1.bias",
    ):
        assert part in told
    for name, tensor, part in (
        ("frameLinear.weight", torch.ones(5, 4), "aggregation.linear1.weight: has shape [5, 4], wanted [128, 128]"),
        ("frameLinear2.weight", torch.tensor(1.0), "aggregation.linear2.weight: has shape [], wanted [1, 128]"),
        ("frameLinear.bias", torch.full((DIM,), torch.nan), "frameLinear.bias: has values that are not finite"),
        ("frameLinear2.bias", torch.ones(1, dtype=torch.int8), "aggregation.linear2.bias: holds int8, wanted float32"),
        ("clip.ln_final.bias", torch.ones(DIM) * 1j, "final_layer_norm.bias: holds complex64, wanted float32"),
        ("clip.transformer.resblocks.0.attn.in_proj_weight", torch.tensor(1.0), "q_proj.weight: has shape [1], wanted"),
        ("clip.token_embedding.weight", torch.empty(0, 0), "widths text 0"),
        ("clip.text_projection", torch.ones(3), "shapes that are not those of a CLIP"),
        ("clip.visual.conv2.weight", torch.zeros(64, 3, 3, 16, 16), "patches over three frames"),
    ):
        assert part in failure(command({**their_teachclip(), name: tensor}, tmp_path / "out"), capsys)


def test_the_weights_of_another_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [their_clip4clip(head) for head in ("meanP", "seqTransf", "tightTransf")]
    for state in (*others, their_xclip(words=9, frames=4)):
        told = failure(command(state, tmp_path / "out"), capsys)
        assert "not the weights of a TeachCLIP" in told and f"{LAYERS[0]}: is wanted and missing" in told
    line = command(their_teachclip(), tmp_path / "out")
    for architecture in ("clip4clip", "xclip"):
        line[line.index("--architecture") + 1] = architecture
        assert "frameLinear.weight: has no place" in failure(line, capsys)


def test_a_file_that_is_cut_short_or_no_state_dict_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = command(their_teachclip(), tmp_path / "out")
    whole = (tmp_path / "theirs.pt").read_bytes()
    for part in (whole[: len(whole) // 2], b"", b"frameLinear"):
        (tmp_path / "theirs.pt").write_bytes(part)
        assert "theirs.pt" in failure(line, capsys)
    assert "theirs.pt" in failure(command([1, 2], tmp_path / "out"), capsys)
