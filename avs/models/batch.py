"""The input of a model: the features of some videos, or of some texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Sequences:
    """Sequences of different lengths, padded at the end.

    Attributes:
        values: (B, L, D) float vectors, (B, L) int64 tokens, or (B, L, 3, S, S) uint8 pixels; the values after a
            row's end must not matter.
        lengths: (B,) int64, at least 1 (0 only for a row that is not present).
    """

    values: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        """(B, L) bool, true within a row's length."""
        places = torch.arange(self.values.shape[1], device=self.lengths.device)
        return places < self.lengths[:, None]

    def __getitem__(self, rows: slice) -> Sequences:
        return Sequences(self.values[rows], self.lengths[rows])

    def to(self, device: torch.device | str) -> Sequences:
        return Sequences(self.values.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B videos, or B texts, by the names of their features.

    Attributes:
        vectors: name -> (B, D) float.
        sequences: name -> frames or tokens.
        present: name -> (B,) bool, for features that some of the B lack; a model must not read those rows. A name
            that is not here is present in all.
    """

    vectors: Mapping[str, Tensor] = field(default_factory=dict)
    sequences: Mapping[str, Sequences] = field(default_factory=dict)
    present: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        for vectors in self.vectors.values():
            return len(vectors)
        for sequences in self.sequences.values():
            return len(sequences.lengths)
        return 0

    def __getitem__(self, rows: slice) -> Batch:
        """Some of the B."""
        return Batch(
            {name: vectors[rows] for name, vectors in self.vectors.items()},
            {name: sequences[rows] for name, sequences in self.sequences.items()},
            {name: present[rows] for name, present in self.present.items()},
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(
            {name: vectors.to(device, non_blocking=True) for name, vectors in self.vectors.items()},
            {name: sequences.to(device) for name, sequences in self.sequences.items()},
            {name: present.to(device, non_blocking=True) for name, present in self.present.items()},
        )
