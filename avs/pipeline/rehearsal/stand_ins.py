"""Small networks that stand in for encoders whose weights are not at hand. Their weights are random and mean nothing.

A stand-in is a checkpoint of the encoder's own family, with fewer and narrower layers, which reads images of 32 pixels.
So whatever reads the checkpoint, decodes for it and stores its vectors is the same as for the real one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.core.artifacts import Manifest, atomic_write, complete_folder, is_up_to_date, making
from avs.core.progress import Reporter

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from avs.features.preprocess import Preprocessing

STAND_IN_TYPE = "stand-in"
NOTE = "random numbers of avs demo --rehearse, which mean nothing"
_TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_BERT = {
    **_TOWER,
    "hidden_size": 24,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "use_qformer_text_input": False,
    "cross_attention_frequency": 1,
}
_VIT = {"image_size": 32, "patch_size": 8, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True, **_TOWER}
STAND_INS: Mapping[str, Mapping[str, Any]] = {
    "wsl": {"blocks": [1], "groups": 4, "group_width": 2, "image_size": 32},
    "ircsn": {"blocks": [1], "width": 8, "image_size": 32},
    "beit": {
        **_TOWER,
        "image_size": 32,
        "patch_size": 8,
        "use_mean_pooling": True,
        "use_relative_position_bias": True,
        "layer_scale_init_value": 0.5,
    },
    "video-llama": {
        "vision": _VIT,
        "qformer": {**_BERT, "encoder_hidden_size": _VIT["hidden_size"]},
        "video_qformer": {**_BERT, "encoder_hidden_size": _BERT["hidden_size"]},
        "queries": 4,
        "video_queries": 4,
        "max_frames": 8,
    },
}
"""Family -> what the config.json of its stand-in says, beside `model_type`."""


def make_stand_in(family: str, folder: Path, *, seed: int, force: bool = False, reporter: Reporter) -> None:
    """Write a checkpoint of a family, with random weights; the same seed gives the same numbers.

    Args:
        family: one of STAND_INS.

    Raises:
        ChangedInputsError: the folder holds something else, and `force` is off.
    """
    from avs.features.families import families
    from avs.features.preprocess import write_preprocessing
    from avs.train.weights import write_tensors

    manifest = Manifest(STAND_IN_TYPE, {"family": family, "seed": seed, "weights": NOTE, **STAND_INS[family]})
    if is_up_to_date(folder, manifest, force=force, reporter=reporter):
        return
    (folder / "manifest.json").unlink(missing_ok=True)
    with making(folder):
        weights = _random_weights(_network(family), seed)
        write_tensors(folder / "model.safetensors", weights, {"format": "pt", "weights": NOTE})
        with atomic_write(folder / "config.json") as file:
            described = {"model_type": families.get(family).model_type, "weights": NOTE, **STAND_INS[family]}
            json.dump(described, file, indent=2)
            file.write("\n")
        write_preprocessing(folder, _preprocessing(family, families.get(family).facts(folder).image_size))
        complete_folder(folder, manifest)
    reporter.say(f"wrote {folder}: a small {family} with {NOTE}")


def _network(family: str) -> nn.Module:
    """The network of a family at the size of its stand-in; its values are not used."""
    from avs.features.families import families

    if families.get(family).published:
        return families.get(family).network(STAND_INS[family])
    from transformers import BeitConfig, BeitModel

    module: nn.Module = BeitModel(BeitConfig(**STAND_INS[family]))
    return module


def _random_weights(network: nn.Module, seed: int) -> dict[str, Tensor]:
    import torch

    draw = torch.Generator().manual_seed(seed)
    return {name: _drawn(name, tensor, draw) for name, tensor in network.state_dict().items()}


def _drawn(name: str, tensor: Tensor, draw: torch.Generator) -> Tensor:
    """Random numbers in the shape of a tensor: of about the size that keeps the values of layers as they are."""
    import torch

    values = torch.randn(tensor.shape, generator=draw)
    if values.ndim > 1:
        return values.div(values[0].numel() ** 0.5)
    scales = name.endswith(("weight", "running_var")) or "lambda" in name
    return (1 + 0.1 * values).clamp(min=0.5) if scales else 0.1 * values


def _preprocessing(family: str, size: int) -> Preprocessing:
    """That of the family's published weights, for smaller images."""
    from avs.features.families import families
    from avs.features.preprocess import Geometry, Preprocessing

    published = next(iter(families.get(family).published.values()), None)
    if published is None:
        return Preprocessing(Geometry(size, None, "bilinear"), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    geometry = published.preprocessing.geometry
    edge = None if geometry.edge is None else size * geometry.edge // geometry.size
    return replace(published.preprocessing, geometry=Geometry(size, edge, geometry.interpolation))
