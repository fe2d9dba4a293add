"""Video-LLaMA: published names and sizes, what it computes beside a slow implementation, and its clips by the verb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from published_names import published
from tiny_video_llama import (
    DIM,
    FILES,
    HEADS,
    LAYERS,
    PATCH,
    SIZE,
    VIDEO_LAYERS,
    VIT_BLOCKS,
    make_video_llama,
    merged,
    theirs,
)
from tiny_videos import write_film
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from avs.cli.main import main
from avs.core.errors import FormatError
from avs.core.store import FeatureStore
from avs.features.embedder import ClipEmbedder, load_embedder, read_spec
from avs.features.families.video_llama import FRAMES, VideoLlamaClips

KNOWN = VideoLlamaClips.published["finetune-vicuna7b-v2"]
State = dict[str, Tensor]


def shapes(tensors: State) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def test_every_published_tensor_has_its_place() -> None:
    converted = VideoLlamaClips.convert(merged({file: published(file) for file in FILES}))
    network = VideoLlamaClips.network(KNOWN.config)
    assert shapes(dict(converted.weights)) == shapes(network.state_dict())
    left_out = {name for name in converted.left_out if not name.startswith("blocks.39.")}
    position_ids = {f"{name}.bert.embeddings.position_ids" for name in ("Qformer", "video_Qformer")}
    assert left_out == position_ids | {f"{name}_proj.{of}" for name in ("llama", "t5") for of in ("weight", "bias")}
    assert len(converted.left_out) - len(left_out) == 13
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_110_068_736 and network.dim == 768


def test_multiplications_are_those_of_the_docs() -> None:
    network = VideoLlamaClips.network(KNOWN.config).requires_grad_(False).eval()
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        seen = network.frames(torch.empty(FRAMES, 3, 224, 224))
        network.video_qformer(query_embeds=network.video_query_tokens, encoder_hidden_states=seen.flatten(0, 1)[None])
    assert counter.get_total_flops() / 2e9 == pytest.approx(2135, abs=0.5)


def test_what_vectors_do_not_depend_on_is_left_out_of_a_file_that_has_all() -> None:
    files = {file: published(file) for file in FILES}
    vit = {f"visual_encoder.{name}": tensor for name, tensor in files.pop("eva_vit_g").items()}
    others = {
        "audio_Qformer.bert.embeddings.LayerNorm.weight",
        "audio_encoder.modality_heads.audio.0.weight",
        "audio_query_tokens",
        "llama_model.model.layers.0.self_attn.rotary_emb.inv_freq",
        "visual_encoder.norm.weight",
        "visual_encoder.head.bias",
    }
    converted = VideoLlamaClips.convert({**merged(files), **vit, **{name: torch.zeros(1) for name in others}})
    network = VideoLlamaClips.network(KNOWN.config)
    assert shapes(dict(converted.weights)) == shapes(network.state_dict()) and others < set(converted.left_out)
    assert network.vision_model.post_layernorm.eps == 1e-5  # torch's default, which the authors take
    assert network.vision_model.encoder.layers[0].layer_norm1.eps == 1e-6


def test_the_blip2_of_transformers_has_the_same_places() -> None:
    """Salesforce/blip2-flan-t5-xxl instead of the two files of LAVIS: the names of its class."""
    from transformers import Blip2Config, Blip2ForConditionalGeneration

    t5 = {"model_type": "t5", "d_model": 4096, "num_layers": 1, "num_decoder_layers": 1, "vocab_size": 8}
    with torch.device("meta"):
        blip2 = Blip2ForConditionalGeneration(Blip2Config(text_config=t5))
    names = {name.removeprefix("model."): tensor for name, tensor in blip2.state_dict().items()}
    converted = VideoLlamaClips.convert({**names, **published("video_llama")})
    assert shapes(dict(converted.weights)) == shapes(VideoLlamaClips.network(KNOWN.config).state_dict())


def attended(
    asking: Tensor, memory: Tensor, query: Tensor, key: Tensor, value: Tensor, biases: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """(Q, D) of (Q, D) and (M, E), head by head and query by query."""
    asked, known, told = asking @ query.T + biases[0], memory @ key.T + biases[1], memory @ value.T + biases[2]
    heads = []
    for part in torch.arange(asked.shape[1]).chunk(HEADS):
        rows = []
        for one in asked[:, part]:
            scores = torch.exp(known[:, part] @ one / len(part) ** 0.5)
            rows.append(scores @ told[:, part] / scores.sum())
        heads.append(torch.stack(rows))
    return torch.cat(heads, dim=1)


def normed(values: Tensor, state: State, name: str, epsilon: float) -> Tensor:
    centred = values - values.mean(dim=-1, keepdim=True)
    spread = (centred.square().mean(dim=-1, keepdim=True) + epsilon).sqrt()
    return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]


def dense(values: Tensor, state: State, name: str) -> Tensor:
    return values @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def vit(frame: Tensor, state: State) -> Tensor:
    """(1 + patches, V) of a frame (3, S, S)."""
    corners = [(top, left) for top in range(0, SIZE, PATCH) for left in range(0, SIZE, PATCH)]
    patches = torch.stack([frame[:, top : top + PATCH, left : left + PATCH].flatten() for top, left in corners])
    seen = patches @ state["patch_embed.proj.weight"].flatten(1).T + state["patch_embed.proj.bias"]
    values = torch.cat([state["cls_token"][0], seen]) + state["pos_embed"][0]
    for number in range(VIT_BLOCKS):
        name = f"blocks.{number}"
        inner = normed(values, state, f"{name}.norm1", 1e-6)
        query, key, value = state[f"{name}.attn.qkv.weight"].chunk(3)
        biases = (state[f"{name}.attn.q_bias"], torch.zeros(()), state[f"{name}.attn.v_bias"])
        values = values + dense(attended(inner, inner, query, key, value, biases), state, f"{name}.attn.proj")
        inner = normed(values, state, f"{name}.norm2", 1e-6)
        values = values + dense(F.gelu(dense(inner, state, f"{name}.mlp.fc1")), state, f"{name}.mlp.fc2")
    return normed(values, state, "ln_vision", 1e-5)


def bert(queries: Tensor, memory: Tensor, state: State, prefix: str, layers: int, every: int) -> Tensor:
    """(Q, D) queries that have looked at each other and, in every so many layers, at the memory."""
    values = normed(queries, state, f"{prefix}.embeddings.LayerNorm", 1e-12)
    for number in range(layers):
        name = f"{prefix}.encoder.layer.{number}"
        for part in ("attention", "crossattention") if number % every == 0 else ("attention",):
            own = [f"{name}.{part}.self.{of}" for of in ("query", "key", "value")]
            weights, biases = [state[f"{one}.weight"] for one in own], [state[f"{one}.bias"] for one in own]
            seen = memory if part == "crossattention" else values
            found = attended(values, seen, weights[0], weights[1], weights[2], (biases[0], biases[1], biases[2]))
            found = dense(found, state, f"{name}.{part}.output.dense")
            values = normed(found + values, state, f"{name}.{part}.output.LayerNorm", 1e-12)
        inner = F.gelu(dense(values, state, f"{name}.intermediate_query.dense"))
        found = dense(inner, state, f"{name}.output_query.dense")
        values = normed(found + values, state, f"{name}.output_query.LayerNorm", 1e-12)
    return values


def by_hand(frames: Tensor, state: State) -> Tensor:
    """(D,) of (F, 3, S, S) frames, one after the other."""
    memory = []
    for place, frame in enumerate(frames):
        seen = bert(state["query_tokens"][0], vit(frame, state), state, "Qformer.bert", LAYERS, 2)
        memory.append(seen + state["video_frame_position_embedding.weight"][place])
    queries = state["video_query_tokens"][0]
    return bert(queries, torch.cat(memory), state, "video_Qformer.bert", VIDEO_LAYERS, 1).mean(dim=0)


@torch.no_grad()
def test_it_computes_what_a_slow_implementation_does_of_clips_of_any_length(tmp_path: Path) -> None:
    files = theirs()
    family = VideoLlamaClips(make_video_llama(tmp_path / "vl", files), dtype=torch.float32, pooling="query-mean")
    clips = torch.randn(3, FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    given = (FRAMES, 1, 5)
    mask = torch.arange(FRAMES) < torch.tensor(given)[:, None]
    state = {name: tensor.double() for name, tensor in merged(files).items()}
    wanted = torch.stack([by_hand(clip[:count].double(), state) for clip, count in zip(clips, given, strict=True)])
    assert wanted.std() > 0.1 and (wanted[0] - wanted[2]).abs().max() > 0.01
    torch.testing.assert_close(family.clips(clips, mask), wanted.float(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_batch_gives_what_its_clips_give_alone(tmp_path: Path, dtype: str) -> None:
    encoder = load_embedder("video-llama", weights=make_video_llama(tmp_path / "vl", theirs()), dtype=dtype)
    assert isinstance(encoder, ClipEmbedder)
    clips = torch.randint(0, 256, (2, FRAMES, 3, SIZE, SIZE), dtype=torch.uint8)
    mask = torch.ones(2, FRAMES, dtype=torch.bool)
    mask[0, 5:] = False
    together = encoder.encode_clips(clips, mask)
    alone = np.concatenate([encoder.encode_clips(clips[n : n + 1], mask[n : n + 1]) for n in (0, 1)])
    assert together.shape == (2, DIM)
    assert (together * alone).sum(axis=1).min() > (0.999 if dtype == "bfloat16" else 1 - 1e-5)


def test_its_spec_says_layer_pooling_and_square_frames(tmp_path: Path) -> None:
    spec = read_spec("video-llama", weights=make_video_llama(tmp_path / "vl", theirs()))
    assert (spec.layer, spec.pooling, spec.activation, spec.dim) == ("video-qformer", "query-mean", "gelu", DIM)
    assert (spec.image_size, spec.resize, spec.interpolation) == (SIZE, "square", "bicubic")
    assert (spec.clip_frames, spec.clip_interval_s) == (8, 0.0)
    assert KNOWN.preprocessing.geometry.size == 224 and KNOWN.preprocessing.geometry.edge is None


def test_a_qformer_of_another_blip2_is_refused(tmp_path: Path) -> None:
    files = theirs()
    flan_t5_xl = {**files["blip2_pretrained_flant5xxl"], "t5_proj.weight": torch.zeros(2048, DIM)}
    with pytest.raises(FormatError, match=r"(?s)another BLIP-2.*2048 numbers for the language model"):
        make_video_llama(tmp_path / "vl", {**files, "blip2_pretrained_flant5xxl": flan_t5_xl})
    first_stage = {
        **files["blip2_pretrained_flant5xxl"],
        "Qformer.bert.embeddings.word_embeddings.weight": torch.zeros(9, DIM),
        "Qformer.bert.encoder.layer.0.intermediate.dense.bias": torch.zeros(9),
    }
    with pytest.raises(FormatError, match="do not match") as refused:
        make_video_llama(tmp_path / "vl", {**files, "blip2_pretrained_flant5xxl": first_stage})
    assert "qformer.embeddings.word_embeddings.weight: has no place" in str(refused.value)
    assert "qformer.encoder.layer.0.intermediate.dense.bias: has no place" in str(refused.value)
    del files["blip2_pretrained_flant5xxl"]
    with pytest.raises(FormatError, match=r"(?s)query_tokens: is missing.*with eva_vit_g.pth and blip2_pretrained"):
        make_video_llama(tmp_path / "vl", files)
    assert not (tmp_path / "vl").exists()


def test_shots_of_any_length_are_extracted_by_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = make_video_llama(tmp_path / "weights/vl", theirs())
    (tmp_path / "videos").mkdir()
    write_film(tmp_path / "videos/1.mp4", seed=1)
    shots = "shot\tvideo\tstart_s\tend_s\nshot1_1\t1\t0.0\t0.05\nshot1_2\t1\t0.1\t0.5\nshot1_3\t1\t1.0\t6.0\n"
    (tmp_path / "shots.tsv").write_text(shots, encoding="utf-8")
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "-o", tmp_path, "--workers", 0]
    words += ["--model", "video-llama", "--weights", weights, "--level", "shot", "--level", "frame"]
    assert main(["extract-features", *map(str, words)]) == 0
    clips, whole = (FeatureStore(tmp_path / f"video-llama/{level}") for level in ("frame", "shot"))
    assert clips.vectors.shape == whole.vectors.shape == (3, DIM)
    assert clips.manifest["config"]["sampling"] == {
        "policy": "uniform", "interval_s": 0.5, "frames": 8, "decoder": "PyAV",
    }  # fmt: skip
    (tmp_path / "topics.txt").write_text("731 a red circle\n", encoding="utf-8")
    search = ["--topics", tmp_path / "topics.txt", "--store", tmp_path / "video-llama/shot", "-o", tmp_path / "lists/"]
    assert main(["search", *map(str, search)]) == 2
    assert "the store has no text side" in capsys.readouterr().err
