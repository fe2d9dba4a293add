"""What the tests beside the authors' code of models on a CLIP share: importing it, and the batches."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from their_clip4clip import SIZE, WORDS
from torch import Tensor, nn

from avs.models.batch import Batch, Sequences
from avs.models.retrieval import RetrievalModel
from avs.train.data import FeatureTable, Pairs
from avs.train.loop import TrainingLoop
from avs.train.record import read_metrics
from avs.train.settings import Settings
from avs.train.teaching import Teaching

MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073))[:, None, None]
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711))[:, None, None]


@contextmanager
def code_of(repository: str, environment: str, file: str, modules: Sequence[str]) -> Iterator[pytest.MonkeyPatch]:
    """A patch in whose block the clone that an environment variable names can be imported; forgotten afterwards.

    Args:
        repository: owner/name.
        file: one that the clone has.
        modules: top-level names of its modules.
    """
    clone = os.environ.get(environment)
    if not clone or not (Path(clone) / file).is_file():
        pytest.fail(f"{environment} is to name a clone of https://github.com/{repository}, got {clone}")
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(clone)
        yield patch
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in modules:
            del sys.modules[name]


def run_alone(patch: pytest.MonkeyPatch) -> None:
    """One process without data loaders, tokenizer or downloads."""
    for name in ("requests", "boto3", "botocore", "botocore.exceptions", "tqdm", "ftfy", "regex"):
        if not importable(name):
            patch.setitem(sys.modules, name, stub(name))
    patch.setitem(sys.modules, "dataloaders", stub("dataloaders"))
    patch.setitem(sys.modules, "dataloaders.data_dataloaders", stub("dataloaders.data_dataloaders"))
    patch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    patch.setattr(torch.distributed, "barrier", lambda *_, **__: None)
    patch.setattr(nn.parallel, "DistributedDataParallel", lambda model, **_: model)


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def stub(name: str) -> ModuleType:
    module = ModuleType(name)
    for attribute in ("tqdm", "ClientError", "DATALOADER_DICT"):
        setattr(module, attribute, type(attribute, (Exception,), {}))
    return module


@dataclass(frozen=True)
class Column:
    """Sequences as a column of a table."""

    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: np.ndarray) -> Any:
        return self.values[rows].numpy(), self.lengths[rows].numpy()


Made = tuple[Tensor, Tensor, Tensor]
"""(B, F, 3, S, S) uint8 pixels, (B, W) tokens and the tokens' (B,) lengths."""


def pixels_and_tokens(lengths: Sequence[int], text_lengths: Sequence[int]) -> Made:
    """Random videos and texts, with as many places as the longest needs."""
    random = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (len(lengths), max(lengths), 3, SIZE, SIZE), dtype=torch.uint8, generator=random)
    tokens = torch.zeros(len(text_lengths), max(text_lengths), dtype=torch.long)
    for row, length in zip(tokens, text_lengths, strict=True):
        words = torch.randint(1, WORDS - 2, (length - 2,), generator=random)
        row[:length] = torch.tensor([WORDS - 2, *words.tolist(), WORDS - 1])
    return pixels, tokens, torch.tensor(text_lengths)


def their_batch(made: Made, lengths: Sequence[int], *, words: int, frames: int) -> tuple[Tensor, ...]:
    """What the data loaders grown from CLIP4Clip's give: ids, mask and segments of `words` tokens, then the video and
    its mask of `frames` frames. Pads are zeros, of pixels after normalisation.
    """
    pixels, tokens, text_lengths = made
    tokens = nn.functional.pad(tokens, (0, words - tokens.shape[1]))
    mask = (torch.arange(frames) < torch.tensor(lengths)[:, None]).long()
    video = torch.zeros(len(pixels), frames, 3, SIZE, SIZE)
    video[:, : pixels.shape[1]] = (pixels.float() / 255 - MEAN) / STD
    video = video * mask[..., None, None, None]
    real = (torch.arange(words) < text_lengths[:, None]).long()
    return tokens[:, None], real[:, None], torch.zeros_like(tokens)[:, None], video[:, None, :, None], mask[:, None]


def pairs_of(made: Made, lengths: Sequence[int]) -> Pairs:
    """Texts, each with its video of so many frames."""
    pixels, tokens, words = made
    every = np.arange(len(pixels))
    texts = FeatureTable({"clip-tokens": Column(tokens, words)}, {"clip-tokens": every})
    videos = FeatureTable({"frames": Column(pixels, torch.tensor(lengths))}, {"frames": every})
    return Pairs([f"c{i}" for i in every], texts, videos, every)


def embeddings_of(model: RetrievalModel, made: Made, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(B, E) of the texts, and of the videos of so many frames."""
    pixels, tokens, words = made
    texts = model.embed_texts(Batch({}, {"clip-tokens": Sequences(tokens, words)}))
    return texts, model.embed_videos(Batch({}, {"frames": Sequences(pixels, torch.tensor(lengths))}))


def largest(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).abs().max())


def gradients_of(model: nn.Module) -> dict[str, Tensor]:
    """Name of a parameter -> its gradient; zeros where it has none."""
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def gradient_differences(model: nn.Module, wanted: Mapping[str, Tensor], without: tuple[str, ...]) -> dict[str, float]:
    """Name of a parameter -> largest difference of its gradient, as a share of the largest value that is wanted for it.

    Args:
        without: ends of the names of parameters that have no gradient but rounding: theirs is a share of the largest of
            all.
    """
    most = max(float(gradient.abs().max()) for gradient in wanted.values())
    differences = {}
    for name, found in gradients_of(model).items():
        scale = most if name.endswith(without) else float(wanted[name].abs().max())
        differences[name] = largest(found, wanted[name]) / (scale or 1.0)
    return differences


def our_losses(
    model: RetrievalModel, pairs: Pairs, folder: Path, *, steps: int, rate: float, teaching: Teaching | None = None
) -> list[float]:
    """The losses of our loop with the optimiser and schedule of CLIP4Clip's authors; every step is an epoch."""
    settings = Settings(
        optimiser="bert-adam", learning_rate=rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.2, schedule="cosine",
        warm_up=0.1, clip_norm=1.0, batch_size=len(pairs), epochs=steps, patience=steps, average_last=0, legacy=True,
    )  # fmt: skip
    loop = TrainingLoop(
        model, pairs, lambda model: {"R@1": 0.0}, measure="R@1", settings=settings, folder=folder, fingerprint="f",
        teaching=teaching,
    )  # fmt: skip
    loop.run()
    return [row["loss"] for row in read_metrics(folder)]
