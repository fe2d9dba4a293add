"""LAFF: its options and the settings of its authors. The model is avs/models/laff.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from avs.core.errors import ConfigError, Problems
from avs.models.architectures.architecture import Architecture, Direction, Reduction, Tokens, architectures, option
from avs.models.architectures.footprint import dot_product

if TYPE_CHECKING:
    from avs.models.laff import LaffModel

Fusion = Literal["attention", "concatenation", "mean", "weighted-sum", "self-attention"]


@dataclass(frozen=True, slots=True)
class LaffConfig:
    """The options of a LAFF. Features are named, and their order does not change the result.

    Attributes:
        video: name -> dimension of the video-level features.
        video_frames: name -> dimension of the frame-level features; a FrameLaff pools each one (LAFF-ml).
        text: name -> dimension of the text features that come as vectors.
        text_tokens: name -> encoder of the text features that come as words; it is trained with the model.
        fusion: the block that fuses features: LAFF's "attention", or one that its authors compare it with.
        heads: h, the number of common spaces.
        head_dim: d, the dimension of each common space.
        dropout: probability of dropout after the tanh.
        batch_norm: whether batch normalisation follows the dropout; off in the authors' LAFF, on in their LAFF-ml.
        no_transform: features of dimension `head_dim` that every head reads after batch normalisation and no
            transform (the authors do so with fine-tuned CLIP, on both sides).
        with_ave: add r to the weight of every feature: sum_i (a_i + r) g_i. r starts at 0.8 and falls by 0.2 per epoch
            to 0.
        max_frames: number of first frames of a video to read, 50 in the authors' LAFF-ml; None: all.
        margin, direction, reduction: options of the loss.
        loss_per_head: add up the losses of the heads; otherwise there is one loss of the mean similarity.
        legacy: do as the authors' code does, where it differs from what it means to do: other captions of the same
            video are negatives; a feature that is zero in a whole training batch is replaced by noise.

    Raises:
        ConfigError: an option out of its range; a feature of `no_transform` that does not exist or does not have
            dimension `head_dim`. All are named at once.
    """

    video: Mapping[str, int]
    text: Mapping[str, int]
    video_frames: Mapping[str, int] = field(default_factory=dict)
    text_tokens: Mapping[str, Tokens] = field(default_factory=dict)
    fusion: Fusion = option("attention", "Block that fuses features")
    heads: int = option(8, "Number of common spaces")
    head_dim: int = option(512, "Dimensions of each common space")
    dropout: float = 0.2
    batch_norm: bool = False
    no_transform: tuple[str, ...] = ()
    with_ave: bool = False
    max_frames: int | None = None
    margin: float = 0.2
    direction: Direction = "t2v"
    reduction: Reduction = "sum"
    loss_per_head: bool = True
    legacy: bool = False

    def __post_init__(self) -> None:
        problems = Problems("options of laff that cannot be used")
        for name, least in (("heads", 1), ("head_dim", 1), ("max_frames", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                problems.add(name, f"got {value}; wanted at least {least}")
        if not 0 <= self.dropout < 1:
            problems.add("dropout", f"got {self.dropout}; wanted at least 0 and below 1")
        for name in self.no_transform:
            sides = (self.video, self.video_frames, self.text)
            dims = {side[name] for side in sides if name in side}
            if name in self.text_tokens:
                dims.add(self.text_tokens[name].dim)
            if dims != {self.head_dim}:
                got = f"got {', '.join(map(str, sorted(dims)))} dimensions" if dims else "there is no such feature"
                problems.add("no_transform", f"{name}: {got}; wanted head_dim, {self.head_dim}")
        self._check_fusion(problems)
        problems.raise_if_any(ConfigError)

    def _check_fusion(self, problems: Problems) -> None:
        if self.fusion != "attention" and self.with_ave:
            problems.add("with_ave", f"got true with fusion {self.fusion}; it is an option of fusion attention")
        if self.fusion == "concatenation" and self.no_transform:
            problems.add("no_transform", "got features with fusion concatenation, which transforms all of them at once")
        if self.fusion == "self-attention" and self.heads * self.head_dim % 8:
            width = self.heads * self.head_dim
            problems.add("heads", f"got heads x head_dim = {width}; wanted a multiple of 8 for fusion self-attention")


def _build(config: LaffConfig) -> LaffModel:
    from avs.models.laff import LaffModel

    return LaffModel(config)


architectures.register("laff")(
    Architecture(
        config=LaffConfig,
        build=_build,
        footprint=lambda config: dot_product(config.heads * config.head_dim),
        every_feature=lambda options: options.get("fusion") == "concatenation",
        summary="Train LAFF, attention over any number of video and text features, on captioned videos.",
        description="Train LAFF on captioned videos. Attention fuses any number of video and text features into common "
        "spaces. With a frame-level store among the features it is LAFF-ml.",
        examples="""
avs train-laff --captions msrvtt.caption.txt --store features/clip/shot --store features/blip/shot -o models/laff
avs train-laff --config configs/train/laff_msrvtt.yaml -o models/laff-msrvtt
avs train-laff --config configs/train/rucmm_tv23.yaml --list
avs train-laff --config configs/train/laff_msrvtt.yaml --fusion self-attention --heads 1 --head-dim 4096 -o models/mhsa
avs train-laff --captions c.txt --store features/clip/shot --start-from models/v3c1-pc -o models/laff-finetuned
""",
    )
)
