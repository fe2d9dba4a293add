"""SigLIP (Zhai et al., ICCV 2023) and SigLIP 2 (Tschannen et al., 2025): both towers of transformers' SiglipModel.

The checkpoints of SigLIP 2 at a fixed image size are of this class too. A score is the cosine; scale and bias of the
sigmoid, which keep its order, are not applied.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.core.errors import MissingDependencyError
from avs.features.families.clip import projected
from avs.features.family import Facts, Family, families, load_module, quiet_transformers, read_config
from avs.features.weights import read_json

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SENTENCEPIECE = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}  # module -> package


@families.register("siglip")
class Siglip(Family):
    """Any checkpoint of class SiglipModel.

    The text vector is that of the last position, which is padding: a text is padded to the longest, without a mask, as
    in training. SigLIP's own tokenizer lower-cases, SigLIP 2's does not though its texts were lower case.
    """

    model_type = "siglip"
    text_tower = True
    pads_texts = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        from transformers import SiglipModel

        self.module = load_module(SiglipModel, folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        config = read_config(folder)
        vision, text = config.vision_config, config.text_config
        return Facts(vision.hidden_size, vision.image_size, vision.hidden_act, text.max_position_embeddings)

    @staticmethod
    def tokenizer(folder: Path) -> Any:
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        # of SigLIP 2 the file as it is: transformers 5 has two classes for it, and neither is that of the training
        own = read_json(folder / "tokenizer_config.json").get("tokenizer_class") == "SiglipTokenizer"
        if own:
            _require_sentencepiece(folder)
        with quiet_transformers():
            tokenizer = (AutoTokenizer if own else PreTrainedTokenizerFast).from_pretrained(
                folder, local_files_only=True
            )
        tokenizer.padding_side = "right"
        return tokenizer

    @staticmethod
    def clean(text: str) -> str:
        """`text` in lower case."""
        return text.lower()

    def images(self, pixels: Tensor) -> Tensor:
        return projected(self.module.get_image_features(pixel_values=pixels))

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        return projected(self.module.get_text_features(input_ids=ids))


def _require_sentencepiece(folder: Path) -> None:
    lacking = [package for module, package in SENTENCEPIECE.items() if not _is_installed(module)]
    if lacking:
        raise MissingDependencyError(
            f"the tokenizer of SigLIP needs {' and '.join(lacking)}",
            where=folder / "tokenizer_config.json",
            got="tokenizer_class SiglipTokenizer",
            next_step='pip install "avs[siglip]"; or take a checkpoint of SigLIP 2, which needs neither',
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a package above it
        return False
