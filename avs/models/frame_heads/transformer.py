"""The transformer over frames of CLIP4Clip and CLIP2Video: CLIP's blocks without a causal mask, a table of positions.

    x <- x + attention(LN(x))        x <- x + W_2 quick_gelu(W_1 LN(x))

A block has the names of transformers' CLIPEncoderLayer, so that it can take the weights of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.architectures.clip_video import Init

if TYPE_CHECKING:
    from transformers import CLIPModel

EPSILON = 1e-12  # of the layer norms in the authors' blocks; CLIP's own have 1e-5
INITIAL_STD = 0.02


class TransformerOptions(Protocol):
    """What the transformer asks of a config: sizes of the text tower, and what the weights start from.

    Attributes: as in ClipVideoConfig and Clip4ClipConfig.
    """

    @property
    def layers(self) -> int: ...
    @property
    def init(self) -> Init: ...
    @property
    def position_scale(self) -> float: ...
    @property
    def dim(self) -> int: ...
    @property
    def positions(self) -> int: ...
    @property
    def block_sizes(self) -> tuple[int, int]: ...
    @property
    def activation(self) -> str: ...
    @property
    def copies_text_tower(self) -> bool: ...


class FrameTransformer(nn.Module):
    """Blocks over sequences of vectors.

    Args:
        config: its options.
        layers: number of blocks; None: `layers` of the config.
        places: whether it has a table of positions.

    Attributes:
        positions: (P, D) embedding of the positions; not there without `places`.
    """

    positions: nn.Embedding

    def __init__(self, config: TransformerOptions, *, layers: int | None = None, places: bool = True) -> None:
        from transformers.activations import ACT2FN

        super().__init__()
        heads, hidden = config.block_sizes
        self.config, self.heads, self.places = config, heads, places
        if places:
            self.positions = nn.Embedding(config.positions, config.dim)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.dim, heads, hidden, ACT2FN[config.activation])
            for _ in range(config.layers if layers is None else layers)
        )
        self.apply(start_at_random)

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """(B, L, D) outputs of (B, L, D) vectors; positions where the mask is false are not attended to.

        The mask is (B, L), or (B, H, L) where each of H heads has a mask of its own.
        """
        # A row without a true position attends to all, as with the authors' mask of -1e6. It must not become NaN.
        attended = mask | ~mask.any(dim=-1, keepdim=True)
        for block in self.blocks:
            sequence = block(sequence, attended)
        return sequence

    @torch.no_grad()
    def start_from(self, clip: CLIPModel) -> tuple[str, ...]:
        """Copy blocks and positions of the text tower where their width fits; return what was done."""
        config, tower = self.config, clip.text_model
        if config.copies_text_tower:
            notes = [self._copy(clip)]
        else:
            self.apply(start_at_random)
            what = "blocks and positions start" if self.places else "blocks start"
            width = f"the text tower has width {tower.config.hidden_size} and not {config.dim}"
            notes = [f"{what} at random, because {width}"]
        if self.places:
            self.positions.weight.mul_(config.position_scale)
        if config.position_scale != 1 and self.places:
            notes.append(f"the positions start at {config.position_scale:g} times that")
        if config.init == "zero":
            for block in self.modules():
                if isinstance(block, TransformerBlock):
                    block.start_at_zero()
            notes.append("the output projections of the blocks start at 0")
        return tuple(notes)

    def _copy(self, clip: CLIPModel) -> str:
        """Copy blocks and positions of the text tower; return what was done."""
        layers, count = clip.text_model.encoder.layers, len(self.blocks)
        sources = [place % len(layers) for place in range(count)]
        for block, source in zip(self.blocks, sources, strict=True):
            block.load_state_dict(layers[source].state_dict())
        if self.places:
            self.positions.weight.copy_(clip.text_model.embeddings.position_embedding.weight)
        if len(layers) < count:
            copied = f"the text tower has {len(layers)} blocks for {count}: copies of {', '.join(map(str, sources))}"
            return f"{copied}; the positions are copies too" if self.places else copied
        if self.places:
            return f"blocks 0 to {count - 1} and the positions are copies of the text tower's"
        return f"blocks 0 to {count - 1} are copies of the text tower's"


class TransformerBlock(nn.Module):
    """One block.

    Args:
        dim: D, width of a vector.
        heads: number of heads of the attention.
        hidden: width of the hidden layer.
    """

    def __init__(self, dim: int, heads: int, hidden: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(dim, eps=EPSILON), nn.LayerNorm(dim, eps=EPSILON)
        self.self_attn = SelfAttention(dim, heads)
        self.mlp = Mlp(dim, hidden, activation)

    def forward(self, sequence: Tensor, attended: Tensor) -> Tensor:
        """(B, L, D) of (B, L, D) vectors and the (B, L) or (B, H, L) positions that are attended to."""
        sequence = sequence + self.self_attn(self.layer_norm1(sequence), attended)
        added: Tensor = self.mlp(self.layer_norm2(sequence))
        return sequence + added

    def start_at_zero(self) -> None:
        """Set the output projections to 0, so that the block returns what it gets."""
        for projection in (self.self_attn.out_proj, self.mlp.fc2):
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)


class Mlp(nn.Module):
    """Two linear layers.

    Args:
        dim, hidden, activation: as in TransformerBlock.
    """

    def __init__(self, dim: int, hidden: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1, self.fc2, self.activation = nn.Linear(dim, hidden), nn.Linear(hidden, dim), activation

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., D) of (..., D)."""
        made: Tensor = self.fc2(self.activation(self.fc1(vectors)))
        return made


class SelfAttention(nn.Module):
    """Multi-head self-attention.

    Args:
        dim, heads: as in TransformerBlock.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.v_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, sequence: Tensor, attended: Tensor) -> Tensor:
        """(B, L, D) of (B, L, D) vectors and the (B, L) or (B, H, L) positions that are attended to, one at least."""
        heads = attended[:, None] if attended.dim() == 2 else attended
        query, key, value = (
            project(sequence).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, H, L, D/H)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=heads[:, :, None, :])
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return projected


def start_at_random(module: nn.Module) -> None:
    """Start a linear or embedding layer as the authors do: N(0, 0.02^2), biases 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
