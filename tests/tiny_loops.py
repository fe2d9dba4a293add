"""Trainings of tiny models whose batch is all pairs, and the gradients of that batch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_clips import clip_pairs, config_of, make_clip
from tiny_training import trainer

from avs.models.architectures.teachclip import TeachClipConfig
from avs.models.architectures.xclip import XClipConfig
from avs.models.clip4clip import Clip4Clip
from avs.models.teachclip import TeachClip
from avs.models.xclip import XClip
from avs.train.loop import TrainingLoop
from avs.train.neighbours import neighbours
from avs.train.settings import Settings
from avs.train.teaching import Taught, Teaching

XCLIP = "xclip"  # beside the heads of CLIP4Clip: its loss has matrices
TEACHCLIP = "teachclip"  # its loss has lessons of the whole batch
MIL_NCE = "mil-nce"  # a meanP whose batch has blocks of neighbours
MODELS = ("meanP", "tightTransf", XCLIP, TEACHCLIP, MIL_NCE)
OWN = {"max_frames": 6, "max_words": 10, "freeze": -1, "layers": 2}


def loop_of(folder: Path, head: str, chunk: int | None, **options: object) -> TrainingLoop:
    """A training of one of MODELS, of double precision, whose batch is all pairs."""
    clip = make_clip()
    makers = {XCLIP: make_xclip, TEACHCLIP: make_student, MIL_NCE: make_mil_nce}
    model = makers[head](clip) if head in makers else Clip4Clip(config_of(clip, head=head, dropout=0.0))
    model.start_from(clip)
    torch.manual_seed(0)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter, std=0.2)  # the heads of a fresh model give no gradient to some of their parts
    settings = Settings(batch_size=8, chunk=chunk)
    if head == TEACHCLIP:
        torch.nn.init.normal_(model.aggregation.linear2.weight, std=0.2)
        options["teaching"] = Teaching([make_teacher(seed) for seed in (1, 2)])
    pairs = clip_pairs()
    if head == MIL_NCE:
        pairs = replace(pairs, neighbours=neighbours(["a"] * 3 + ["b"] * 5, np.arange(8), 3))
    return trainer(folder, settings, model=model.double(), pairs=pairs, validate=lambda model: {}, **options)


def make_mil_nce(clip: Any) -> Clip4Clip:
    return Clip4Clip(config_of(clip, loss="mil-nce", positives=3))


def make_xclip(clip: Any) -> XClip:
    return XClip(XClipConfig(json.loads(json.dumps(clip.config.to_dict())), **OWN))


def make_student(clip: Any) -> TeachClip:
    return TeachClip(TeachClipConfig(json.loads(json.dumps(clip.config.to_dict())), **OWN))


def make_teacher(seed: int) -> Taught:
    """Another X-CLIP, which embeds videos with the batch."""
    clip = make_clip(seed=seed)
    teacher = make_xclip(clip)
    teacher.start_from(clip)
    return Taught(teacher.double().eval())


def gradients(loop: TrainingLoop) -> dict[str, torch.Tensor]:
    """Gradient of the loss of the one batch, over all workers."""
    loop.model.train()
    (captions,) = loop.sampler.batches(0)
    loop._backward(loop.pairs.batch(captions))
    loop.workers.add_gradients(loop.model.parameters())
    return {name: one.grad for name, one in loop.model.named_parameters() if one.grad is not None}
