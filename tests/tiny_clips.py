"""Tiny CLIPs of random weights, and videos and texts for them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avs.core.columns import SequenceColumn, row_positions
from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.batch import Batch, Sequences
from avs.train.data import FeatureTable, Pairs

SIZE, DIM, WORDS, START, END = 8, 16, 30, 27, 28  # one id lies above the end token, as an added token does
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
POSITIONS = 12


def make_clip(*, text: dict[str, Any] | None = None, seed: int = 0, **changes: Any) -> Any:
    """A CLIPModel whose biases and layer norms are random too, in eval mode."""
    from transformers import CLIPConfig, CLIPModel

    tower = {"hidden_size": DIM, "intermediate_size": 24, "num_attention_heads": 2, "hidden_act": "quick_gelu"}
    ends = {"bos_token_id": START, "eos_token_id": END, "pad_token_id": 0}
    sizes = {"vocab_size": WORDS, "max_position_embeddings": POSITIONS, "num_hidden_layers": 3}
    vision = {"image_size": SIZE, "patch_size": 4, "num_hidden_layers": 2, **tower}
    torch.manual_seed(seed)
    config = CLIPConfig(
        text_config=tower | ends | sizes | (text or {}), vision_config=vision, **{"projection_dim": DIM} | changes
    )
    clip = CLIPModel(config).eval()
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return clip


def config_of(clip: Any, **options: Any) -> Clip4ClipConfig:
    own: dict[str, Any] = {"max_frames": 6, "max_words": 10, "image_mean": MEAN, "image_std": STD, "freeze": -1}
    plain = json.loads(json.dumps(clip.config.to_dict()))  # its keys may be numbers
    return Clip4ClipConfig(plain, **own | options)


def pixels(*lengths: int, seed: int = 1) -> Sequences:
    """(B, F, 3, S, S) uint8 noise, in the pads too."""
    torch.manual_seed(seed)
    values = torch.randint(0, 256, (len(lengths), max(lengths), 3, SIZE, SIZE), dtype=torch.uint8)
    return Sequences(values, torch.tensor(lengths))


def vectors(*lengths: int, seed: int = 1, dim: int = DIM) -> Sequences:
    """(B, F, D) float64 noise, in the pads too."""
    torch.manual_seed(seed)
    return Sequences(torch.randn(len(lengths), max(lengths), dim).double(), torch.tensor(lengths))


def tokens(*lengths: int, seed: int = 1) -> Sequences:
    """(B, W) int64 ids with a start and an end token, and other ids after the end."""
    torch.manual_seed(seed)
    values = torch.randint(1, START, (len(lengths), max(lengths)))
    values[:, 0] = START
    for row, length in enumerate(lengths):
        values[row, length - 1] = END
    return Sequences(values, torch.tensor(lengths))


def as_videos(frames: Sequences) -> Batch:
    return Batch(sequences={"frames": frames})


def as_texts(words: Sequences) -> Batch:
    return Batch(sequences={"clip-tokens": words})


def masked(frames: Sequences) -> tuple[Tensor, Tensor]:
    """(B, F, D) frames that are zero after their end, and the mask."""
    return frames.values.masked_fill(~frames.mask[..., None], 0.0), frames.mask


def clip_pairs(count: int = 8) -> Pairs:
    """Captions with the frames of their videos, which make a batch of `count`; no two are of one video."""
    frames, words = pixels(*[2 + n % 3 for n in range(count)]), tokens(*[5 + n % 4 for n in range(count)])
    rows = np.arange(count)

    def table(name: str, sequences: Sequences) -> FeatureTable:
        values = sequences.values.numpy()
        flat = np.concatenate([row[:length] for row, length in zip(values, sequences.lengths.tolist(), strict=True)])
        offsets = np.cumsum([0, *sequences.lengths.tolist()])
        return FeatureTable({name: _Rows(flat, offsets)}, {name: rows})

    ids = [f"v{row}#0" for row in rows]
    return Pairs(ids, table("clip-tokens", words), table("frames", frames), rows)


class _Rows(SequenceColumn):
    """Sequences of any type, such as uint8 pictures."""

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        where, lengths = row_positions(self.offsets, rows)
        padded = np.zeros((len(rows), int(lengths.max()), *self.values.shape[1:]), dtype=self.values.dtype)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = self.values[where]
        return padded, lengths
