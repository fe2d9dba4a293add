"""What the small encoders are taught: which captions are true of which frames, what each shows, and the three losses.

Things are coded as integers (`training_frames.SLOTS`): -1 leaves an attribute open, and -2 stands for "no thing".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from training_frames import Frames, pattern_codes

from avs.demo.patterns import Pattern
from avs.demo.scenes import BACKGROUNDS, COLOURS, KINDS, MAX_COUNT, RELATIONS, SIZES

_ATTRIBUTE_SIZES = (len(COLOURS), len(SIZES), MAX_COUNT, 3, 3)
_KIND_SIZE = 1 + sum(_ATTRIBUTE_SIZES)  # columns of one kind: the kind itself, and the kind with each attribute value
READINGS = len(KINDS) * _KIND_SIZE + len(BACKGROUNDS) + len(RELATIONS)
PATCH_SIZES = (len(KINDS) + 1, len(COLOURS), len(SIZES), MAX_COUNT)  # the last kind means that the patch is empty
_EMPTY_PATCH_WEIGHT = 0.25


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of T patterns, or of T frames.

    Attributes:
        things: (T, 3, 6) int8 codes of up to three things.
        backgrounds: (T,) codes.
        relations: (T,) codes of how the first thing is placed to the second.
    """

    things: torch.Tensor
    backgrounds: torch.Tensor
    relations: torch.Tensor


def codes_of_patterns(patterns: Sequence[Pattern]) -> Codes:
    """The codes of what captions say."""
    things, backgrounds, relations = zip(*(pattern_codes(pattern) for pattern in patterns), strict=True)
    return Codes(torch.from_numpy(np.stack(things)), torch.tensor(backgrounds), torch.tensor(relations))


def codes_of_frames(frames: Frames, rows: np.ndarray) -> Codes:
    """The codes of what these frames show."""
    arrays = (frames.things[rows], frames.backgrounds[rows], frames.relations[rows, 0, 1])
    return Codes(*(torch.from_numpy(array) for array in arrays))


def truth(frames: Frames, rows: np.ndarray, captions: Codes) -> torch.Tensor:
    """(I, T) bool: whether text t is true of frame i."""
    shown = torch.from_numpy(frames.things[rows])  # (I, 3, 6)
    wanted = captions.things[None, :, :, None]  # (1, T, 3, 1, 6)
    fits = ((wanted == -1) | (wanted == shown[:, None, None])).all(-1)  # (I, T, 3 wanted, 3 shown)
    fits &= shown[:, None, None, :, 0] >= 0
    absent = captions.things[None, :, :, 0] == -2
    true = (fits.any(-1) | absent).all(-1)
    relations = torch.from_numpy(frames.relations[rows])[:, None] == captions.relations[None, :, None, None]
    pairs = fits[:, :, 0, :, None] & fits[:, :, 1, None, :] & relations  # (I, T, 3, 3)
    true &= (captions.relations == -1)[None] | pairs.flatten(2).any(-1)
    same_place = torch.from_numpy(frames.backgrounds[rows])[:, None] == captions.backgrounds[None]
    return true & ((captions.backgrounds == -1)[None] | same_place)


def readings(codes: Codes) -> torch.Tensor:
    """(N, READINGS) float targets: each kind, each kind with each attribute value, background and relation."""
    target = torch.zeros(len(codes.things), READINGS + 1)  # the last column takes what is absent
    for slot in range(codes.things.shape[1]):
        kind = codes.things[:, slot, 0].long()
        present = kind >= 0
        columns = [torch.where(present, kind * _KIND_SIZE, READINGS)]
        offset = 1
        for attribute, size in enumerate(_ATTRIBUTE_SIZES, start=1):
            value = codes.things[:, slot, attribute].long()
            columns.append(torch.where(present & (value >= 0), kind * _KIND_SIZE + offset + value, READINGS))
            offset += size
        target.scatter_(1, torch.stack(columns, 1), 1.0)
    first = len(KINDS) * _KIND_SIZE
    for values, size in ((codes.backgrounds.long(), len(BACKGROUNDS)), (codes.relations.long(), len(RELATIONS))):
        target.scatter_(1, torch.where(values >= 0, first + values, READINGS)[:, None], 1.0)
        first += size
    return target[:, :READINGS]


def contrastive_loss(scores: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean over both directions of the cross-entropy with all true partners (Khosla et al. 2020, eq. 2).

    Args:
        scores: (I, T) scaled similarities.
        true: (I, T) 1.0 where text t is true of frame i.
    """
    loss = scores.new_zeros(())
    for logits, partners in ((scores, true), (scores.T, true.T)):
        share = partners / partners.sum(1, keepdim=True)
        loss = loss - (share * logits.log_softmax(1)).sum(1).mean() / 2
    return loss


def reading_loss(logits: torch.Tensor, codes: Codes) -> torch.Tensor:
    """Binary cross-entropy of (N, READINGS) logits, summed over the readings and averaged over the rows."""
    targets = readings(codes)
    return binary_cross_entropy_with_logits(logits.float(), targets, reduction="sum") / len(targets)


def patch_loss(logits: torch.Tensor, things: np.ndarray, owners: np.ndarray) -> torch.Tensor:
    """Cross-entropy of the kind, colour, size and count that each patch shows; an empty patch weighs a quarter.

    Args:
        logits: (B, 64, sum of PATCH_SIZES).
        things: (B, 3, 6) codes.
        owners: (B, 8, 8) index of the thing that each patch shows; -1: none.
    """
    owner = torch.from_numpy(owners).flatten(1).long()  # (B, 64)
    codes = torch.from_numpy(things).long()  # (B, 3, 6)
    shown = codes.gather(1, owner.clamp(min=0)[..., None].expand(-1, -1, codes.shape[2])).flatten(0, 1)
    empty = (owner < 0).flatten()
    parts = torch.split(logits.float().flatten(0, 1), list(PATCH_SIZES), dim=1)
    kind = cross_entropy(parts[0], shown[:, 0].masked_fill(empty, len(KINDS)), reduction="none")
    weight = torch.where(empty, _EMPTY_PATCH_WEIGHT, 1.0)
    loss = (weight * kind).sum() / weight.sum()
    for slot, part in enumerate(parts[1:], start=1):
        loss = loss + cross_entropy(part[~empty], shown[~empty, slot])
    return loss
