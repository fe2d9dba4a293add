"""Dual encoding: its options and the settings of its authors. The model is avs/models/dual_encoding.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from avs.core.errors import ConfigError, Problems
from avs.models.architectures.architecture import Architecture, Direction, Reduction, Tokens, architectures, option
from avs.models.architectures.footprint import Footprint, dot_product

if TYPE_CHECKING:
    from avs.models.dual_encoding import DualEncodingModel

Fusion = Literal["separate", "concatenated"]
Level = Literal["mean", "gru", "conv"]


@dataclass(frozen=True, slots=True)
class DualEncodingConfig:
    """The options of a dual encoding.

    Attributes:
        video_frames: name -> dimension of the one frame-level feature.
        text: name -> dimension of the text features that come as vectors; they are concatenated.
        text_tokens: name -> encoder of words that is trained with the model. The mean of its states, and convolutions
            over them, join the vectors (the multi-level text side).
        video: must be empty; no video-level feature is read.
        fusion: "separate": one common space per level, similarities averaged (DMT_CUC_01); "concatenated": one space
            for all levels (Dual Encoding).
        levels: levels of the frames; ("gru", "conv") is the authors' "reduced".
        shared_text: with "separate", use one text embedding for all levels ("the same public space ... with one text
            encoding respectively"); otherwise each level has its own, and a space of its own.
        space: dimension of a common space; 2048 in Dual Encoding of 2019.
        hidden: dimension of the state of the biGRU over frames, in each direction; 1024 in Dual Encoding of 2019.
        kernels, filters: widths and number of the convolutions over frames.
        text_kernels, text_filters: widths and number of the convolutions over words.
        dropout: with "separate", dropout before the linear map; with "concatenated", dropout of the biGRU and
            convolution levels of both sides before it, and again after batch normalisation.
        max_frames: number of first frames to read; None: all.
        concepts: name of the text feature whose vector is the (C,) labels of the text's video. It turns on the hybrid
            space. The text encoder does not read it, and only training needs it. Labels above 1, such as counts,
            count as 1; a text without the feature has no labels.
        latent_weight: weight of the latent similarity in a hybrid space; the concepts have the rest.
        margin, direction, reduction: options of the loss.
        loss_per_level: with "separate", take the mean of the levels' losses ("respectively"); otherwise there is one
            loss of the mean similarity. The paper can be read either way.
        legacy: do as the authors' code does, where it differs from what it means to do: padding over frames reaches the
            biGRU and the convolutions (see SequenceLevels), padding over words the convolutions; `max_frames` does not
            cut the mean; other captions of the same video are negatives.

    Raises:
        ConfigError: features or options that do not go together; all are named at once.
    """

    video_frames: Mapping[str, int]
    text: Mapping[str, int] = field(default_factory=dict)
    text_tokens: Mapping[str, Tokens] = field(default_factory=dict)
    video: Mapping[str, int] = field(default_factory=dict)
    fusion: Fusion = "separate"
    levels: tuple[Level, ...] = ("gru", "conv", "mean")
    shared_text: bool = True
    space: int = option(1536, "Dimensions of a common space")
    hidden: int = option(512, "Dimensions of the biGRU's state, in each direction")
    kernels: tuple[int, ...] = (2, 3, 4, 5)
    filters: int = 512
    text_kernels: tuple[int, ...] = (2, 3, 4)
    text_filters: int = 512
    dropout: float = 0.2
    max_frames: int | None = 64
    concepts: str | None = None
    latent_weight: float = 0.6
    margin: float = 0.2
    direction: Direction = "both"
    reduction: Reduction = "sum"
    loss_per_level: bool = True
    legacy: bool = False

    def __post_init__(self) -> None:
        problems = Problems("options of dual-encoding that do not go together")
        if self.video or len(self.video_frames) != 1:
            features = ", ".join([*self.video, *self.video_frames]) or "none"
            problems.add("video features", f"got {features}; wanted one frame-level feature and no other")
        if not self.text_vectors and not self.text_tokens:
            problems.add("text features", "none to encode a text with")
        if not self.levels or len(set(self.levels)) < len(self.levels):
            problems.add("levels", f"got {', '.join(self.levels) or 'none'}; wanted some of mean, gru, conv, each once")
        if self.max_frames is not None and self.max_frames < 1:
            problems.add("max_frames", f"got {self.max_frames}; wanted at least 1, or null")
        if self.concepts is not None and self.concepts not in self.text:
            problems.add("concepts", f'no text feature "{self.concepts}" comes as vectors')
        if self.concepts is not None and self.fusion != "concatenated":
            problems.add("concepts", "a hybrid space needs fusion: concatenated")
        problems.raise_if_any(ConfigError)

    @property
    def text_vectors(self) -> tuple[str, ...]:
        """Names of the vectors that the text encoder reads."""
        return tuple(name for name in self.text if name != self.concepts)


def _footprint(config: DualEncodingConfig) -> Footprint:
    """A vector per common space, and the concepts of a hybrid space, each of which counts as one multiply-add."""
    spaces = len(config.levels) if config.fusion == "separate" else 1
    concepts = 0 if config.concepts is None else config.text[config.concepts]
    return dot_product(spaces * config.space + concepts)


def _build(config: DualEncodingConfig) -> DualEncodingModel:
    from avs.models.dual_encoding import DualEncodingModel

    return DualEncodingModel(config)


architectures.register("dual-encoding")(
    Architecture(
        config=DualEncodingConfig,
        build=_build,
        footprint=_footprint,
        summary="Train dual encoding, three levels of frame features, on captioned videos.",
        description="Train dual encoding on captioned videos. It reads frames at three levels: their mean, a biGRU and "
        "convolutions over it. The defaults are those of DMT_CUC_01 at TRECVID 2021.",
        examples="""
avs train-dual-encoding --captions msrvtt.caption.txt --store features/clip/frame -o models/dual-encoding
avs train-dual-encoding --config configs/train/dual_encoding_tpami21.yaml -o models/tpami21
avs train-dual-encoding --captions c.txt --store features/clip/frame --text bow --text bigru -o models/de
""",
        recipe={
            "training": {
                "optimiser": "adam",
                "cut_patience": 0,
                "cut_rest": 3,
                "cut_threshold": 0.0,
                "epochs": 50,
                "patience": 11,
            },
            "validation": {"measure": "SumR"},
        },
        bag_of_words=False,
        every_feature=lambda options: True,
    )
)
