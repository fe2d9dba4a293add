"""Weights in the layout of the authors' CLIP2Video: every tensor finds its place, or there is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from their_clip2video import DIM, TEMPORAL, theirs
from their_clip4clip import SIZE, WORDS
from torch import Tensor, nn
from torch.nn import functional as F

from avs.cli.main import main
from avs.core.errors import ConfigError, FormatError
from avs.models.architectures import make_config, make_model
from avs.models.batch import Batch, Sequences
from avs.models.clip2video import Clip2Video
from avs.models.importers import ForeignWeights, Imported, importers
from avs.train.checkpoint import read_checkpoint


def convert(state: dict[str, Tensor], **stated: Any) -> Imported:
    return importers.get("clip2video").convert(ForeignWeights(state), {}, stated)


def model_of(imported: Imported) -> Clip2Video:
    inputs = {"video_frames": {"frames": 0}, "text": {"clip-tokens": WORDS}}
    model = make_model("clip2video", make_config("clip2video", {**imported.options, **inputs}))
    model.load_state_dict(dict(imported.weights))
    assert isinstance(model, Clip2Video)
    return model.eval()


def one_block(state: dict[str, Tensor], prefix: str, values: Tensor) -> Tensor:
    """(B, L, D) of (B, L, D) values by a block of theirs, all positions attended to."""
    own = {name.removeprefix(f"{prefix}.resblocks.0."): tensor for name, tensor in state.items()}
    attention = nn.MultiheadAttention(DIM, DIM // 64, batch_first=True)
    attention.load_state_dict({n.removeprefix("attn."): t for n, t in own.items() if n.startswith("attn.")})
    first = F.layer_norm(values, (DIM,), own["ln_1.weight"], own["ln_1.bias"], 1e-12)
    values = values + attention(first, first, first, need_weights=False)[0]
    second = F.layer_norm(values, (DIM,), own["ln_2.weight"], own["ln_2.bias"], 1e-12)
    second = F.linear(second, own["mlp.c_fc.weight"], own["mlp.c_fc.bias"])
    second = second * torch.sigmoid(1.702 * second)
    return values + F.linear(second, own["mlp.c_proj.weight"], own["mlp.c_proj.bias"])


@pytest.mark.parametrize("temporal", TEMPORAL)
@torch.no_grad()
def test_the_parts_compute_what_theirs_do(temporal: str) -> None:
    state = theirs(temporal)
    model, x, mask = model_of(convert(state)), torch.randn(2, 4, DIM), torch.ones(2, 4, dtype=torch.bool)
    assert model.centres is not None and model.local is not None
    torch.testing.assert_close(model.local(x, mask), one_block(state, "actionClip", x), atol=1e-5, rtol=1e-5)
    shares = torch.softmax(x @ state["weight_center"].T, dim=2)[..., None]
    sums = (shares * (x[:, :, None] - state["emb_center"])).sum(1)
    wanted = F.normalize(F.normalize(sums, dim=2).mean(1), dim=1)
    torch.testing.assert_close(model.centres(x, mask), wanted, atol=1e-5, rtol=1e-5)
    places = state["frame_position_embeddings.weight"][:4]
    if temporal != "none":
        assert model.differences is not None
        steps = x[:, 1:] - x[:, :-1]
        if temporal == "sigmoid_selfA":
            made = one_block(state, "frame2t_attention", steps + places[1:])
        else:
            made = steps @ state["frame2t_projection"]
        made = F.layer_norm(made, (DIM,), state["trans_layernorm.weight"], state["trans_layernorm.bias"])
        found = model.differences.differences(x, mask, model.transformer.positions.weight[:4])
        torch.testing.assert_close(found, 2 * made.sigmoid() - 1, atol=1e-5, rtol=1e-5)
        assert torch.equal(model.differences.types.weight, state["type_position_embeddings.weight"])
    blocks = model.transformer.blocks
    fused = state["transformerClip.resblocks.3.attn.in_proj_weight"]
    parts = [getattr(blocks[3].self_attn, f"{part}_proj").weight for part in "qkv"]
    assert len(blocks) == 4 and torch.equal(torch.cat(parts), fused)


def test_what_the_weights_show_and_what_they_do_not() -> None:
    found = {
        (temporal, aligned): convert(theirs(temporal, aligned=aligned)) for temporal in TEMPORAL for aligned in (0, 1)
    }
    assert {key: (one.options["temporal"], one.options["alignment"]) for key, one in found.items()} == {
        ("sigmoid_selfA", 0): ("sigmoid_selfA", "none"),
        ("sigmoid_selfA", 1): ("sigmoid_selfA", "TAB_TDB"),
        ("sigmoid_mlp", 0): ("sigmoid_mlp", "none"),
        ("sigmoid_mlp", 1): ("sigmoid_mlp", "TAB_TDB"),
        ("none", 0): ("none", "none"),
        ("none", 1): ("none", "TAB"),
    }
    assert [bool(one.left_out) for one in found.values()] == [False] * 4 + [True] * 2
    assert convert(theirs(), alignment="TAB").options["alignment"] == "TAB"
    assert convert(theirs(centres=7)).options["centres"] == 7
    assert "legacy" not in convert(theirs()).options


def test_half_precision_becomes_single() -> None:
    weights = convert({name: tensor.half() for name, tensor in theirs().items()}).weights
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_weights_that_do_not_fit() -> None:
    state = theirs()
    del state["emb_center"]
    state |= {"more": torch.ones(2), "trans_layernorm.bias": torch.full((DIM,), torch.nan)}
    with pytest.raises(FormatError) as error:
        convert(state)
    for said in ("emb_center: is wanted and missing", "more: has no place", "trans_layernorm.bias: has values"):
        assert said in str(error.value)
    with pytest.raises(FormatError, match="weights of differences that avs does not know"):
        convert({name: tensor for name, tensor in theirs().items() if not name.startswith("frame2t")})
    with pytest.raises(FormatError, match="weights of differences that avs does not know"):
        convert({**theirs(), **theirs("sigmoid_mlp")})
    with pytest.raises(FormatError, match="not the weights of a CLIP2Video"):
        convert({**theirs(), "clip.visual.conv2.weight": torch.randn(64, 3, 3, 16, 16)})
    with pytest.raises(ConfigError, match="max_frames: got 1"):
        convert(theirs(), max_frames=1)


def test_it_is_imported_and_embeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(theirs(), tmp_path / "theirs.pt")
    line = [
        "import-checkpoint",
        str(tmp_path / "theirs.pt"),
        "--architecture",
        "clip2video",
        "--tokenizer",
        "mini-clip",
    ]
    assert main([*line, "-o", str(tmp_path / "out")]) == 2
    assert "how many frames a second" in capsys.readouterr().err
    assert main([*line, "--fps", "2.5", "--option", "legacy=true", "-o", str(tmp_path / "out")]) == 0
    checkpoint = read_checkpoint(tmp_path / "out")
    assert checkpoint.config["legacy"] and checkpoint.sampling["interval_s"] == 0.4
    frames = Sequences(torch.randint(0, 256, (2, 3, 3, SIZE, SIZE), dtype=torch.uint8), torch.tensor([3, 1]))
    rows = checkpoint.load_model().embed_videos(Batch({}, {"out/frame": frames}))
    assert rows.shape == (2, 2 * DIM) and torch.allclose(rows.norm(dim=1), torch.ones(2), atol=1e-5)
    assert main(["info", str(tmp_path / "out"), "--verify"]) == 0
    assert main([*line, "--option", "centres=7", "-o", str(tmp_path / "seven")]) == 2
    assert "--option centres: got 7, but it is 5" in capsys.readouterr().err
