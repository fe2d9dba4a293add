"""Video-LLaMA's video branch beside its authors' modules on the same random weights, through our importer.

AVS_PEER_VIDEOLLAMA names a clone of https://github.com/DAMO-NLP-SG/Video-LLaMA; nothing of it is copied here. The test
prints a figure: `make test ARGS="-m peer -s tests/peer"`. Their ViT and Q-Former run as they are, with these shims:

- What timm gives their ViT, and what transformers 4 gave their Q-Former and 5 does not: masks that nothing leaves out.
- Their model loads a language model, so the few lines of `encode_videoQformer_visual` are called here one by one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny_video_llama import (
    BERT_MLP,
    DIM,
    HEADS,
    LAYERS,
    MLP,
    PATCH,
    QUERIES,
    SIZE,
    VIDEO_LAYERS,
    VIDEO_QUERIES,
    VISION,
    VIT_BLOCKS,
    make_video_llama,
    merged,
    theirs,
)
from torch import Tensor, nn

from avs.features.families.video_llama import FRAMES, VideoLlamaClips

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]
ENVIRONMENT = "AVS_PEER_VIDEOLLAMA"


@dataclass(frozen=True)
class Authors:
    """Their modules."""

    eva: Any
    qformer: Any


@pytest.fixture
def authors(monkeypatch: pytest.MonkeyPatch) -> Iterator[Authors]:
    import transformers.modeling_utils
    import transformers.pytorch_utils
    from transformers.utils import ModelOutput

    folder = Path(os.environ.get(ENVIRONMENT, ""), "video_llama/models")
    if not (folder / "Qformer.py").is_file():
        pytest.fail(f"{ENVIRONMENT} is to name a clone of https://github.com/DAMO-NLP-SG/Video-LLaMA, got {folder}")
    layers = {"drop_path": None, "to_2tuple": lambda size: (size, size), "trunc_normal_": nn.init.trunc_normal_}
    for name, content in {
        "timm": {},
        "timm.models": {},
        "timm.models.layers": layers,
        "timm.models.registry": {"register_model": lambda function: function},
        "video_llama": {},
        "video_llama.common": {},
        "video_llama.common.dist_utils": {"download_cached_file": None},
        "transformers.file_utils": {"ModelOutput": ModelOutput},
    }.items():
        stub = ModuleType(name)
        vars(stub).update(content)
        monkeypatch.setitem(sys.modules, name, stub)
    chunking = transformers.pytorch_utils.apply_chunking_to_forward
    for name, value in {
        "apply_chunking_to_forward": chunking, "find_pruneable_heads_and_indices": None, "prune_linear_layer": None,
    }.items():  # fmt: skip
        monkeypatch.setattr(transformers.modeling_utils, name, value, raising=False)
    eva, qformer = (_module(folder / f"{name}.py") for name in ("eva_vit", "Qformer"))
    for cls in (qformer.BertModel, qformer.BertLMHeadModel):
        cls.init_weights = lambda self: None
        cls.get_head_mask = lambda self, mask, layers: [None] * layers
        cls.invert_attention_mask = lambda self, mask: torch.zeros(len(mask), 1, 1, mask.shape[1])
    yield Authors(eva, qformer)


def _module(path: Path) -> Any:
    spec = spec_from_file_location(f"their_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _qformer(authors: Authors, queries: int, width: int, layers: int, every: int) -> nn.Module:
    """As their `init_Qformer` and what follows it make one."""
    from transformers.models.bert.configuration_bert import BertConfig

    sizes = {"hidden_size": DIM, "num_attention_heads": HEADS, "intermediate_size": BERT_MLP, "vocab_size": 9}
    config = BertConfig(num_hidden_layers=layers, **sizes)
    asked = {"encoder_width": width, "add_cross_attention": True, "cross_attention_freq": every}
    absent = {"chunk_size_feed_forward": 0, "use_cache": False, "is_decoder": False, "query_length": queries}
    for name, value in {**asked, **absent}.items():
        setattr(config, name, value)
    made: nn.Module = authors.qformer.BertLMHeadModel(config=config)
    bert: Any = made.bert
    made.cls = bert.embeddings.word_embeddings = bert.embeddings.position_embeddings = None  # type: ignore[assignment]
    for layer in bert.encoder.layer:
        layer.output = layer.intermediate = None
    return made


class TheirBranch(nn.Module):
    """The parts of their VideoLLAMA that a video goes through before the language model, under its names."""

    def __init__(self, authors: Authors) -> None:
        super().__init__()
        vit = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": VISION, "depth": VIT_BLOCKS, "num_heads": HEADS}
        ratio, norm = MLP / VISION, partial(nn.LayerNorm, eps=1e-6)
        self.visual_encoder = authors.eva.VisionTransformer(
            **vit, mlp_ratio=ratio, qkv_bias=True, use_mean_pooling=False, norm_layer=norm
        )
        self.ln_vision = nn.LayerNorm(VISION)
        self.Qformer = _qformer(authors, QUERIES, VISION, LAYERS, 2)
        self.query_tokens = nn.Parameter(torch.zeros(1, QUERIES, DIM))
        self.video_frame_position_embedding = nn.Embedding(9, DIM)
        self.video_Qformer = _qformer(authors, VIDEO_QUERIES, DIM, VIDEO_LAYERS, 1)
        self.video_query_tokens = nn.Parameter(torch.zeros(1, VIDEO_QUERIES, DIM))

    def forward(self, frames: Tensor) -> Tensor:
        """(D,) of (F, 3, S, S)."""
        seen = self._asked(self.Qformer, self.query_tokens, self.ln_vision(self.visual_encoder(frames)))
        seen = seen + self.video_frame_position_embedding(torch.arange(len(frames)))[:, None]
        return self._asked(self.video_Qformer, self.video_query_tokens, seen.flatten(0, 1)[None])[0].mean(dim=0)

    def _asked(self, qformer: Any, queries: Tensor, memory: Tensor) -> Tensor:
        output = qformer.bert(
            query_embeds=queries.expand(len(memory), -1, -1),
            encoder_hidden_states=memory,
            encoder_attention_mask=torch.ones(memory.shape[:-1], dtype=torch.long),
            return_dict=True,
        )
        found: Tensor = output.last_hidden_state
        return found


@torch.no_grad()
def test_vectors_are_those_of_the_authors_modules(tmp_path: Path, authors: Authors) -> None:
    files = theirs()
    branch = TheirBranch(authors).eval()
    vit = {f"visual_encoder.{name}": tensor for name, tensor in files["eva_vit_g"].items()}
    lacking, _ = branch.load_state_dict({**merged(files), **vit}, strict=False)
    assert lacking == []
    ours = VideoLlamaClips(make_video_llama(tmp_path / "vl", files), dtype=torch.float32, pooling="query-mean")
    clips = torch.randn(3, FRAMES, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    given = (FRAMES, 1, 5)
    wanted = torch.stack([branch(clip[:count]) for clip, count in zip(clips, given, strict=True)])
    found = ours.clips(clips, torch.arange(FRAMES) < torch.tensor(given)[:, None])
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    print(f"\nvectors of Video-LLaMA: largest difference {difference:.1e} of the largest value")
    assert difference < 1e-5
