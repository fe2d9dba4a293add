"""A family of encoders: what its one file in `avs/features/families/` states, and how its checkpoints are loaded."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from avs.core.errors import AvsError
from avs.core.ids import some
from avs.core.registry import Registry
from avs.features.preprocess import Preprocessing

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Facts:
    """What a checkpoint's config.json says about the encoder.

    Attributes:
        dim: length of its vectors.
        image_size: height and width of the images it takes, in pixels.
        activation: activation function of the image tower.
        max_tokens: longest text it takes, start and end tokens included; 0 without a text tower.
    """

    dim: int
    image_size: int
    activation: str = ""
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Published:
    """A state dict that a family's authors published, which `avs import-weights` makes a checkpoint of.

    Attributes:
        config: what config.json says of it, beside `model_type`.
        preprocessing: of its images, as its authors state it.
        source: where its files are, for people.
    """

    config: Mapping[str, Any]
    preprocessing: Preprocessing
    source: str


@dataclass(frozen=True, slots=True)
class Converted:
    """Published tensors by the names of a family's own network.

    Attributes:
        weights: name in the network -> tensor.
        left_out: published names that the encoder has no use for, such as a classifier's.
    """

    weights: Mapping[str, Tensor]
    left_out: Sequence[str] = ()


class Family:
    """One family of encoders, which a subclass states and registers in `families`.

    A subclass sets the attributes that differ, `module`, and the methods of its kind: `images` or `clips`, and `texts`
    when it has a text tower. Tensors come on the device and in the dtype of `module`; vectors may have any length.
    The registered name is also a catalog name, for weights that the user names (`--model NAME --weights FOLDER`).

    A family whose network is in avs also sets `published`, `network` and `convert`; `__init__` then calls
    avs.features.networks.weights.load_network.

    Attributes:
        model_type: `model_type` in the config.json of its checkpoints; "": any, and `facts` refuses those that it does
            not read.
        poolings: how an image may become vectors; the default comes first. "queries" keeps several vectors per image.
        text_tower: whether it encodes texts too, into the same space.
        pads_texts: whether texts are padded to the longest that the tower takes, as it was trained; its `texts` then
            reads the padding.
        layer: which layer its vectors are of, where a model has several that are used; "": the pooling says it.
        crops: which crops of an image may be averaged in place of the centre: () or ("ten",).
        clip_frames: number of frames in a clip; 0: it encodes images one by one.
        sampling: settings of avs.video.sampling.Sampling with which its frames are sampled, whatever else is asked
            for, such as {"policy": "uniform", "frames": 8}; {}: as the user says.
        shortest_edge: whether a bare `"size": 224` in an old processor config means the shorter edge.
        published: variant -> the state dicts that `avs import-weights` reads, the default first; {}: none.
        module: the loaded network, a torch.nn.Module.
    """

    model_type: ClassVar[str]
    poolings: ClassVar[tuple[str, ...]] = ("projection",)
    text_tower: ClassVar[bool] = False
    pads_texts: ClassVar[bool] = False
    layer: ClassVar[str] = ""
    crops: ClassVar[tuple[str, ...]] = ()
    clip_frames: ClassVar[int] = 0
    sampling: ClassVar[Mapping[str, object]] = {}
    shortest_edge: ClassVar[bool] = False
    published: ClassVar[Mapping[str, Published]] = {}
    module: Any

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        """Load the checkpoint in `folder`."""
        raise NotImplementedError

    @staticmethod
    def facts(folder: Path) -> Facts:
        """What the encoder is, read from the checkpoint's config without loading its weights."""
        raise NotImplementedError

    @staticmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        """The network that a config.json describes. It is built on the meta device, where it has names and shapes."""
        raise NotImplementedError

    @staticmethod
    def convert(theirs: Mapping[str, Tensor]) -> Converted:
        """What the published tensors are in `network`. A tensor that is not known stays under its published name."""
        raise NotImplementedError

    def images(self, pixels: Tensor) -> Tensor:
        """(B, D) vectors of (B, 3, S, S) normalised pixels; (B, Q, D) with pooling "queries"."""
        raise NotImplementedError

    def clips(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """(B, D) vectors of (B, F, 3, S, S) normalised pixels; `mask` (B, F) bool is true for frames, not padding."""
        raise NotImplementedError

    @staticmethod
    def tokenizer(folder: Path) -> Any:
        """The tokenizer of the text tower, from the checkpoint."""
        from transformers import AutoTokenizer

        with quiet_transformers():
            return AutoTokenizer.from_pretrained(folder, local_files_only=True)

    @staticmethod
    def clean(text: str) -> str:
        """`text` as the text tower was trained to see it, before its tokenizer."""
        return text

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(T, D) vectors of (T, L) token ids and their attention mask."""
        raise NotImplementedError


families: Registry[type[Family]] = Registry("model family")


def read_config(folder: Path) -> Any:
    """The checkpoint's transformers config, with the defaults of its class filled in."""
    from transformers import AutoConfig

    with quiet_transformers():
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def load_module(cls: Any, folder: Path, dtype: torch.dtype) -> Any:
    """The model of transformers class `cls` in `folder`, in evaluation mode.

    Attention is torch's scaled_dot_product_attention wherever the class has it, which is what transformers picks.

    Raises:
        AvsError: the weights cannot be read, or lack a tensor of the class, which would otherwise be random.
    """
    from safetensors import SafetensorError

    try:
        with quiet_transformers():
            module, loading = cls.from_pretrained(folder, dtype=dtype, local_files_only=True, output_loading_info=True)
    except SafetensorError as error:
        raise AvsError(
            "the weights cannot be read: a file of them is cut short or damaged",
            where=folder,
            got=str(error),
            next_step="copy or download the checkpoint again",
        ) from error
    lacking = sorted({*loading["missing_keys"], *(str(key) for key in loading["mismatched_keys"])})
    if lacking:
        raise AvsError(
            f"the checkpoint is not one of {cls.__name__}: {len(lacking)} tensors are absent or of another shape",
            where=folder,
            got=f"lacking {some(lacking, shown=3)}",
            next_step="pass the weights of the retrieval model of this family, or another --model",
        )
    return module.eval()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turn off the loading bars and the advice of transformers inside this block; its settings are restored after."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.ERROR)
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
