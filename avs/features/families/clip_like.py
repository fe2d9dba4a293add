"""Any other dual encoder of transformers: projected towers of a class with get_image_features and get_text_features.

AltCLIP, Chinese-CLIP, MetaCLIP 2, CLIPSeg and GroupViT are such; dims, lengths and preprocessing are the checkpoint's.
Families whose class in transformers is not what their checkpoints were trained for are refused here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.core.errors import ConfigError
from avs.features.families.clip import projected
from avs.features.family import Facts, Family, families, load_module, read_config
from avs.features.preprocess import read_preprocessing

if TYPE_CHECKING:
    import torch
    from torch import Tensor

INSTEAD = {
    "blip": "take --model blip: no BLIP checkpoint has the projections of BlipModel",
    "blip-2": "take --model blip2: Blip2Model has a language model in place of a text tower",
    "siglip": "take --model siglip: its texts must be padded",
    "siglip2": "take a checkpoint of SigLIP 2 at a fixed image size, with --model siglip",
}  # model_type -> what to do


@families.register("clip-like")
class ClipLike(Family):
    """A checkpoint of any class of transformers that has both methods."""

    model_type = ""
    text_tower = True
    shortest_edge = True

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        self.module = load_module(_class_of(folder), folder, dtype)
        self._require_one_space(folder, dtype)

    @staticmethod
    def facts(folder: Path) -> Facts:
        _class_of(folder)
        config = read_config(folder)
        vision, text = (getattr(config, f"{tower}_config", None) for tower in ("vision", "text"))
        dim: Any = getattr(config, "projection_dim", None) or getattr(vision, "hidden_size", 0)
        return Facts(
            dim=dim,
            image_size=read_preprocessing(folder, shortest_edge=ClipLike.shortest_edge).geometry.size,
            activation=getattr(vision, "hidden_act", ""),
            max_tokens=_max_tokens(folder, getattr(text, "max_position_embeddings", None)),
        )

    def images(self, pixels: Tensor) -> Tensor:
        return projected(self.module.get_image_features(pixel_values=pixels))

    def texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        return projected(self.module.get_text_features(input_ids=ids, attention_mask=mask))

    def _require_one_space(self, folder: Path, dtype: torch.dtype) -> None:
        """Encode a black image and a text of one token: whether their vectors can be compared shows in no config."""
        import torch

        facts = self.facts(folder)
        ids = torch.zeros(1, 1, dtype=torch.int64)
        try:
            with torch.inference_mode():
                image = self.images(torch.zeros(1, 3, facts.image_size, facts.image_size, dtype=dtype))
                text = self.texts(ids, torch.ones_like(ids))
            got = f"{list(image.shape)} of an image, {list(text.shape)} of a text"
            fits = image.shape == text.shape == (1, facts.dim)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            got, fits = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", False
        if not fits:
            raise ConfigError(
                f"{type(self.module).__name__} gives no vectors of images and of texts that can be compared",
                where=folder,
                got=got,
                wanted=f"[1, {facts.dim}] of either",
            )


def _class_of(folder: Path) -> Any:
    """The transformers class of a checkpoint.

    Raises:
        ConfigError: it is not known, is no dual encoder, or has a family of its own.
    """
    from transformers import MODEL_MAPPING

    where = folder / "config.json"
    try:
        config = read_config(folder)
    except ValueError as error:
        raise ConfigError(
            "transformers knows no such model, and code of a checkpoint is not run",
            where=where,
            got=str(error).partition("\n")[0],
        ) from error
    if config.model_type in INSTEAD:
        raise ConfigError(
            "clip-like does not read these checkpoints",
            where=where,
            got=f"model_type {config.model_type}",
            next_step=INSTEAD[config.model_type],
        )
    cls = MODEL_MAPPING[type(config)] if type(config) in MODEL_MAPPING else None
    lacking = [name for name in ("get_image_features", "get_text_features") if not hasattr(cls, name)]
    if lacking:
        raise ConfigError(
            "not a dual encoder of images and texts",
            where=where,
            got=f"model_type {config.model_type}, whose class has no {' and no '.join(lacking)}",
            wanted="a model such as CLIP, AltCLIP, Chinese-CLIP or MetaCLIP 2",
        )
    return cls


def _max_tokens(folder: Path, positions: int | None) -> int:
    """The longest text: that of the tokenizer, unless the tower has fewer positions."""
    path = folder / "tokenizer_config.json"
    stated = json.loads(path.read_text(encoding="utf-8")).get("model_max_length") if path.is_file() else None
    known = [int(length) for length in (stated, positions) if length is not None and 0 < length < 2**31]
    if not known:
        raise ConfigError(
            "the checkpoint does not say how long its texts may be",
            where=path,
            wanted="model_max_length in tokenizer_config.json, or max_position_embeddings of the text tower",
        )
    return min(known)
