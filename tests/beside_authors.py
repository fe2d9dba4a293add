"""What the tests beside the authors' code of models on a CLIP share: importing it, and the batches."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avs.models.batch import Batch, Sequences
from avs.models.retrieval import RetrievalModel
from avs.train.data import FeatureTable, Pairs

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
