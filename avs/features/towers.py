"""The two towers of a model family: what one file such as clip.py says, and how its checkpoint is loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from avs.core.errors import AvsError
from avs.core.registry import Registry


@dataclass(frozen=True, slots=True)
class TowerFacts:
    """What a checkpoint's config.json says.

    Attributes:
        dim: length of the vectors both towers give.
        image_size: height and width, in pixels, of what the image tower takes.
        activation: of the image tower.
        max_tokens: longest text the text tower takes, start and end tokens included.
    """

    dim: int
    image_size: int
    activation: str
    max_tokens: int


class Towers(Protocol):
    """One family. `images` and `texts` run on the device and in the dtype of `module`.

    Attributes:
        model_type: what config.json of its checkpoints says.
        poolings: how an image may become vectors, the default first; "queries" keeps several a image.
        shortest_edge: whether a bare `"size": 224` in an old processor config means the shorter edge.
    """

    model_type: ClassVar[str]
    poolings: ClassVar[tuple[str, ...]]
    shortest_edge: ClassVar[bool]
    module: nn.Module

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None: ...

    @staticmethod
    def facts(config: Any) -> TowerFacts:
        """What the towers are, from the checkpoint's transformers config."""
        ...

    @staticmethod
    def clean(text: str) -> str:
        """`text` as the text tower was trained to see it, before its tokenizer."""
        ...

    def images(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) normalised pixels -> (B, D), or (B, Q, D) with pooling "queries"; of any length."""
        ...

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(T, L) token ids and attention mask -> (T, D), of any length."""
        ...


families: Registry[type[Towers]] = Registry("model family")


def load_module(cls: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The model of transformers class `cls` in `folder`, in evaluation mode.

    Attention is torch's scaled_dot_product_attention wherever the class has it, which is what transformers picks.

    Raises:
        AvsError: the weights lack a tensor the class has, which would otherwise be random.
    """
    with quiet_transformers():
        module, loading = cls.from_pretrained(folder, dtype=dtype, local_files_only=True, output_loading_info=True)
    lacking = sorted({*loading["missing_keys"], *(str(key) for key in loading["mismatched_keys"])})
    if lacking:
        raise AvsError(
            f"the checkpoint is not one of {cls.__name__}: {len(lacking)} tensors are absent or of another shape",
            where=folder,
            got=f"lacking {', '.join(lacking[:3])}",
            next_step="pass the weights of the retrieval model of this family, or another --model",
        )
    return module.eval()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No loading bars and no advice of transformers while in here; its settings are put back after."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
