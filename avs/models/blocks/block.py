"""What the blocks of LAFF share: they transform features into the common spaces and fuse them there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from avs.models.layers import BatchNorm, Dropout, LinearTanh


class Transform(nn.Module):
    """Transforms a feature for all heads at once: linear, tanh, dropout, and batch normalisation if asked for.

    Weights start Xavier-uniform, biases zero. W2VV++ normalises before the tanh, and its dropout comes last.
    """

    def __init__(self, dim: int, width: int, *, dropout: float, batch_norm: bool) -> None:
        super().__init__()
        self.linear = LinearTanh(dim, width)
        self.dropout = Dropout(dropout)
        self.norm = BatchNorm(width) if batch_norm else nn.Identity()
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, H*d) values of (B, D) features."""
        transformed: Tensor = self.norm(self.dropout(self.linear(feature)))
        return transformed


class Tile(nn.Module):
    """Gives a feature with the dimension of a head to every head, with batch normalisation and nothing else."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = BatchNorm(heads * head_dim)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, H*d) values of (B, d) features."""
        tiled: Tensor = self.norm(feature.repeat(1, self.heads))
        return tiled


class FusionBlock(nn.Module):
    """The h blocks of one side, over the same k features.

    Args:
        dims: name -> dimension of each feature.
        heads, head_dim, dropout, batch_norm, no_transform: as in LaffConfig.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        heads: int = 8,
        head_dim: int = 512,
        dropout: float = 0.2,
        batch_norm: bool = False,
        no_transform: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.names, self.heads, self.head_dim = tuple(dims), heads, head_dim
        self.transforms = nn.ModuleList(
            Tile(heads, head_dim)
            if name in no_transform
            else Transform(dim, heads * head_dim, dropout=dropout, batch_norm=batch_norm)
            for name, dim in dims.items()
        )

    def start_epoch(self, epoch: int) -> None:
        """Training comes to the 0-based `epoch`."""

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features."""
        raise NotImplementedError

    def weights(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor | None:
        """(B, H, k) attention over the features in the order of `names`; None of a block without attention."""
        return None

    def _transformed(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> list[Tensor]:
        """(B, H, d) values of every feature; zeros where it is not present."""
        columns = []
        for name, transform in zip(self.names, self.transforms, strict=True):
            mask = present.get(name)
            if mask is None:
                values = transform(features[name])
            else:  # rows without the feature must not enter the statistics of a batch normalisation either
                own = transform(features[name][mask])
                values = own.new_zeros(len(mask), own.shape[1]).index_put((mask,), own)
            columns.append(values.unflatten(1, (self.heads, self.head_dim)))
        return columns


def present_mask(names: Sequence[str], present: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """(B, k) bool: which of the features each row of `like` (B, ...) has."""
    everyone = torch.ones(len(like), dtype=torch.bool, device=like.device)
    columns = [present.get(name, everyone) for name in names]
    return torch.stack(columns, dim=1)
