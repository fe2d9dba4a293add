"""Checkpoints of tiny CLIP4Clips of random weights, as a training on pixels or on vectors of frames writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from avs.core.artifacts import Manifest
from avs.core.spec import EmbedderSpec
from avs.features.embedder import read_spec
from avs.features.text.clip_tokens import ClipTokens
from avs.models.architectures import config_to_json, make_config, make_model
from avs.pipeline.train.backbone import open_backbone, save_backbone
from avs.train.checkpoint import BACKBONE, CHECKPOINT_TYPE, Checkpoint, write_checkpoint
from avs.video.sampling import NO_LIMIT

MOST_WORDS = 20
SAMPLING = {
    "policy": "interval",
    "interval_s": 0.5,
    "frames": None,
    "choice": {"frames": 3, "policy": "linspace", "order": "normal"},
}


def make_trained(
    folder: Path,
    clip: Path,
    *,
    head: str = "meanP",
    pixels: bool = True,
    unit_length: bool = True,
    sampling: Mapping[str, Any] = SAMPLING,
    seed: int = 0,
    **options: Any,
) -> Path:
    """A checkpoint in `folder`.

    Args:
        clip: folder of the CLIP that it started from.
        pixels: it reads pixels, or else vectors of the CLIP's frozen tower.
        unit_length: of those vectors.
    """
    backbone, tokens = open_backbone(str(clip)), ClipTokens("clip-tokens", clip, max_words=MOST_WORDS)
    feature = f"{folder.name}/frame" if pixels else "clip/frame"
    inputs = {"video_frames": {feature: 0 if pixels else backbone.spec.dim}, "text": {tokens.name: tokens.dim}}
    own = {"head": head, "max_frames": 3, "max_words": MOST_WORDS, **options}
    config = make_config("clip4clip", {**inputs, **backbone.options(), **own})
    torch.manual_seed(seed)
    model = make_model("clip4clip", config)
    backbone.start(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "logit_scale" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    save_backbone(model, clip, folder)
    checkpoint = Checkpoint(
        architecture="clip4clip",
        config=config_to_json(config),
        video_features={feature: _frames(folder, backbone.spec, pixels, unit_length)},
        text_features=[tokens.to_json()],
        epoch=1,
        measures={},
        validation={},
        sampling={**sampling, "frames": NO_LIMIT} if pixels and sampling else sampling,
        folder=folder,
    )
    write_checkpoint(checkpoint, model.state_dict(), Manifest(type=CHECKPOINT_TYPE, config={"seed": seed}))
    return folder


def _frames(folder: Path, spec: EmbedderSpec, pixels: bool, unit_length: bool) -> EmbedderSpec:
    """The spec of the frames' vectors; patches over three frames have none of their own."""
    if not pixels:
        return replace(spec, normalised=unit_length)
    if (folder / BACKBONE / "model.safetensors").is_file():
        spec = read_spec("clip", weights=folder / BACKBONE)
    return replace(spec, name=folder.name, normalised=False)
