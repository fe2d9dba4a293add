"""CLIP4Clip: its options and the settings of its authors. The model is avs/models/clip4clip.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from avs.core.errors import ConfigError, Problems
from avs.models.architectures.architecture import Architecture, Direction, architectures, option

if TYPE_CHECKING:
    from avs.models.clip4clip import Clip4Clip

FrameHeadName = Literal["meanP", "seqLSTM", "seqTransf", "tightTransf"]
Patches = Literal["2d", "3d"]
Init = Literal["clip", "zero"]
Tight = Literal["code", "paper"]
Loss = Literal["cross-entropy", "margin"]

BACKBONE_SIZES = (
    "projection_dim",
    "text_config.hidden_size",
    "text_config.intermediate_size",
    "text_config.max_position_embeddings",
    "text_config.num_attention_heads",
    "text_config.num_hidden_layers",
    "vision_config.image_size",
    "vision_config.num_hidden_layers",
)


@dataclass(frozen=True, slots=True)
class Clip4ClipConfig:
    """The options of a CLIP4Clip.

    Attributes:
        backbone: CLIPConfig.to_dict() of the CLIP, as plain JSON values.
        image_mean, image_std: of red, green and blue in [0, 1], from the processor of the CLIP; OpenAI's are the
            defaults.
        video_frames: name of the frames in a Batch -> their dimension, which is that of the backbone.
        text: name of the token ids in a Batch -> size of the vocabulary, which is that of the backbone.
        head: how frames become a similarity: "meanP", their mean; "seqLSTM" and "seqTransf", an LSTM or a transformer
            over time before the mean; "tightTransf", a transformer over each text and video together.
        layers: blocks of the transformer of seqTransf and tightTransf.
        patches: "2d": the patch projection of the CLIP, frame by frame; "3d": a projection of three frames in a row.
        init: "clip": blocks are copied from the text tower of the CLIP, and an LSTM is random, as published; "zero":
            the same, but what they add to the frames starts at 0, so that training starts at meanP.
        position_scale: the positions of the frames start at this multiple of the text tower's.
        tight: "code": tightTransf as released; "paper": with type embeddings and FC-ReLU-FC.
        dropout: probability of dropout at the input of tightTransf's transformer.
        max_frames, max_words: the most frames of a video and the most tokens of a text, SOT and EOT included.
        loss: "cross-entropy", symmetric, of the cosines times CLIP's logit scale; "margin": LAFF's margin ranking loss
            of the cosines, against the hardest negative, with `margin` and `direction` ("t2v", "v2t" or "both").
        backbone_ratio: factor on the learning rate for what is trained of CLIP.
        freeze: -1: train all of CLIP; n >= 0: freeze its embeddings and the first n blocks of both towers.
        gradient_checkpointing: compute the activations of CLIP's blocks again in the backward pass, not keep them.
        legacy: other captions of the same video are negatives, as in the authors' code.

    Raises:
        ConfigError: options out of range, or that the backbone cannot serve; all are named at once.
    """

    backbone: Mapping[str, Any]
    video_frames: Mapping[str, int] = field(default_factory=lambda: {"frames": 0})
    text: Mapping[str, int] = field(default_factory=lambda: {"clip-tokens": 0})
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    head: FrameHeadName = option("meanP", "How frames become a similarity")
    layers: int = 4
    patches: Patches = "2d"
    init: Init = "clip"
    position_scale: float = 1.0
    tight: Tight = "code"
    dropout: float = 0.1
    max_frames: int = option(12, "Most frames of a video; a longer one gives as many, evenly spaced")
    max_words: int = option(32, "Most tokens of a text, with its start and end; a longer one is cut")
    loss: Loss = "cross-entropy"
    margin: float = 0.2
    direction: Direction = "t2v"
    backbone_ratio: float = 1e-3
    freeze: int = 0
    gradient_checkpointing: bool = False
    legacy: bool = False

    def __post_init__(self) -> None:
        problems = Problems("options of clip4clip that cannot be used")
        self._check_ranges(problems)
        self._check_combinations(problems)
        self._check_backbone(problems)
        problems.raise_if_any(ConfigError)

    def _check_ranges(self, problems: Problems) -> None:
        for name, least in (("layers", 1), ("max_frames", 1), ("max_words", 3), ("freeze", -1)):
            if getattr(self, name) < least:
                problems.add(name, f"got {getattr(self, name)}; wanted at least {least}")
        if not 0 <= self.dropout < 1:
            problems.add("dropout", f"got {self.dropout}; wanted at least 0 and below 1")
        if not 0 <= self.backbone_ratio <= 1:
            problems.add("backbone_ratio", f"got {self.backbone_ratio}; wanted at least 0 and at most 1")
        if not self.margin > 0:
            problems.add("margin", f"got {self.margin}; wanted a positive number")
        if not self.position_scale >= 0:
            problems.add("position_scale", f"got {self.position_scale}; wanted at least 0")
        if min(self.image_std) <= 0:
            problems.add("image_std", f"got {self.image_std}; wanted positive numbers")
        for name in ("video_frames", "text"):
            if len(getattr(self, name)) != 1:
                problems.add(name, f"got {', '.join(getattr(self, name)) or 'nothing'}; wanted one")

    def _check_combinations(self, problems: Problems) -> None:
        if self.patches == "3d" and self.max_frames == 1:
            problems.add("patches", "got 3d with max_frames 1; a projection over time needs at least 2 frames")
        if self.patches == "3d" and self.reads_vectors:
            problems.add("patches", "got 3d with vectors of frames; a projection over time needs pixels")
        if self.init == "zero" and self.head == "tightTransf":
            problems.add("init", "got zero with head tightTransf, whose blocks are all that joins text and video")
        if self.tight == "paper" and self.head != "tightTransf":
            problems.add("tight", f"got paper with head {self.head}; it is an option of head tightTransf")

    def _check_backbone(self, problems: Problems) -> None:
        lacking = [name for name in BACKBONE_SIZES if not isinstance(self._size(name), int)]
        if lacking:
            problems.add("backbone", f"lacks {', '.join(lacking)}; wanted the to_dict() of a CLIPConfig")
            return
        if self.max_words > self.positions:
            problems.add("max_words", f"got {self.max_words}; the text tower has {self.positions} positions")
        if self.reads_vectors and self.video_frames[self.video_name] != self.dim:
            got = f"{self.video_name} with {self.video_frames[self.video_name]} dimensions"
            problems.add("video_frames", f"got {got}; wanted vectors of the backbone, {self.dim}")
        if self.most_frames is not None and self.max_frames > self.most_frames:
            own = "one of them for the text" if self.head == "tightTransf" else "one for each frame"
            problems.add("max_frames", f"got {self.max_frames}; {self.head} has {self.positions} positions, {own}")
        blocks = max(self._size("text_config.num_hidden_layers"), self._size("vision_config.num_hidden_layers"))
        if self.freeze > blocks:
            problems.add("freeze", f"got {self.freeze}; the deeper tower has {blocks} blocks")
        known, used = self._size("text_config.vocab_size"), self.text[self.text_name]
        if isinstance(known, int) and used > known:
            problems.add("text", f"got a tokenizer of {used} tokens; the text tower knows {known}")

    def _size(self, name: str) -> Any:
        value: Any = self.backbone
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    @property
    def video_name(self) -> str:
        """Name of the frames in a Batch."""
        return next(iter(self.video_frames), "")

    @property
    def reads_vectors(self) -> bool:
        """Whether frames come as vectors of the vision tower, which is frozen then, and not as pixels."""
        return self.video_frames.get(self.video_name, 0) > 0

    @property
    def text_name(self) -> str:
        """Name of the token ids in a Batch."""
        return next(iter(self.text), "")

    @property
    def dim(self) -> int:
        """Dimension of the vectors of frames and texts."""
        return int(self._size("projection_dim"))

    @property
    def image_size(self) -> int:
        """S, the height and width of a frame in pixels."""
        return int(self._size("vision_config.image_size"))

    @property
    def positions(self) -> int:
        """Rows of the text tower's position table, and of the frames'."""
        return int(self._size("text_config.max_position_embeddings"))

    @property
    def most_frames(self) -> int | None:
        """The largest `max_frames` that the head can serve; None: there is no limit."""
        if self.head in ("meanP", "seqLSTM"):
            return None
        return self.positions - (self.head == "tightTransf")

    @property
    def copies_text_tower(self) -> bool:
        """Whether the blocks and positions of the text tower have the width of a frame."""
        return bool(self._size("text_config.hidden_size") == self.dim)

    @property
    def block_sizes(self) -> tuple[int, int]:
        """Heads, and dimensions of the hidden layer, of a block: the text tower's if its width fits."""
        if self.copies_text_tower:
            return int(self._size("text_config.num_attention_heads")), int(self._size("text_config.intermediate_size"))
        return (self.dim // 64 if self.dim % 64 == 0 else 1), 4 * self.dim

    @property
    def activation(self) -> str:
        """The text tower's activation; "quick_gelu" in OpenAI's CLIP and in the authors' code."""
        return str(self._size("text_config.hidden_act") or "quick_gelu")


def _build(config: Clip4ClipConfig) -> Clip4Clip:
    from avs.models.clip4clip import Clip4Clip

    return Clip4Clip(config)


architectures.register("clip4clip")(
    Architecture(
        config=Clip4ClipConfig,
        build=_build,
        recipe={
            "training": {
                "optimiser": "bert-adam",
                "learning_rate": 1e-4,
                "betas": (0.9, 0.98),
                "eps": 1e-6,
                "weight_decay": 0.2,
                "schedule": "cosine",
                "clip_norm": 1.0,
                "batch_size": 128,
                "epochs": 5,
                "patience": 5,
                "average_last": 0,
            },
            "validation": {"measure": "R@1"},
        },
        backbone=True,
        every_feature=lambda options: True,
        summary="Train CLIP4Clip, a CLIP with a head over frames, on captioned videos.",
        description="Train CLIP4Clip on captioned videos: a CLIP, whose weights --backbone names, and a head over the "
        "frames. With --videos and --shots all of it is trained, on pixels; with a frame-level store of that CLIP "
        "(--store), its vision tower stays as it is, and training costs a hundredth.",
        examples="""
avs train-clip4clip --backbone clip-vit-b32 --captions c.txt --videos videos/ --shots shots.tsv -o models/clip4clip
avs train-clip4clip --backbone clip-vit-b32 --head seqTransf --captions c.txt --store clip-vit-b32/frame -o models/seq
avs train-clip4clip --config configs/train/clip4clip_msrvtt9k.yaml --device cuda -o models/clip4clip
""",
    )
)
