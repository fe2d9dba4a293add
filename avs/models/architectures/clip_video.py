"""What the configs of models on the frames of a CLIP share: the CLIP, frames, words, what is trained of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from avs.core.errors import ConfigError, Problems
from avs.models.architectures.architecture import option

Patches = Literal["2d", "3d"]
Init = Literal["clip", "zero"]
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


def clip4clip_recipe(*, batch_size: int, epochs: int) -> dict[str, dict[str, Any]]:
    """The recipe of CLIP4Clip's authors, and of those whose code grew from theirs; see Architecture.recipe."""
    training = {
        "optimiser": "bert-adam",
        "learning_rate": 1e-4,
        "betas": (0.9, 0.98),
        "eps": 1e-6,
        "weight_decay": 0.2,
        "schedule": "cosine",
        "clip_norm": 1.0,
        "batch_size": batch_size,
        "epochs": epochs,
        "patience": epochs,
        "average_last": 0,
    }
    return {"training": training, "validation": {"measure": "R@1"}}


@dataclass(frozen=True, slots=True)
class ClipVideoConfig:
    """The options that models on the frames of a CLIP share. A subclass extends `check`, and calls it of this class.

    Attributes:
        backbone: CLIPConfig.to_dict() of the CLIP, as plain JSON values.
        video_frames: name of the frames in a Batch -> their dimension, which is that of the backbone; 0: pixels.
        text: name of the token ids in a Batch -> size of the vocabulary, which is that of the backbone.
        image_mean, image_std: of red, green and blue in [0, 1], from the processor of the CLIP; OpenAI's are the
            defaults.
        max_frames, max_words: the most frames of a video and the most tokens of a text, SOT and EOT included.
        backbone_ratio: factor on the learning rate for what is trained of CLIP.
        freeze: -1: train all of CLIP; n >= 0: freeze its embeddings and the first n blocks of both towers.
        gradient_checkpointing: compute the activations of CLIP's blocks again in the backward pass, not keep them.
        legacy: do as the authors' code does, where the architecture's page lists a difference.

    Raises:
        ConfigError: options out of range, or that the backbone cannot serve; all are named at once.
    """

    architecture: ClassVar[str]

    backbone: Mapping[str, Any]
    video_frames: Mapping[str, int] = field(default_factory=lambda: {"frames": 0})
    text: Mapping[str, int] = field(default_factory=lambda: {"clip-tokens": 0})
    image_mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    image_std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    max_frames: int = option(12, "Most frames of a video; a longer one gives as many, evenly spaced")
    max_words: int = option(32, "Most tokens of a text, with its start and end; a longer one is cut")
    backbone_ratio: float = 1e-3
    freeze: int = 0
    gradient_checkpointing: bool = False
    legacy: bool = False

    def __post_init__(self) -> None:
        problems = Problems(f"options of {self.architecture} that cannot be used")
        self.check(problems)
        problems.raise_if_any(ConfigError)

    def check(self, problems: Problems) -> None:
        """Add what is wrong with the options."""
        self.check_least(problems, max_frames=1, max_words=3, freeze=-1)
        if not 0 <= self.backbone_ratio <= 1:
            problems.add("backbone_ratio", f"got {self.backbone_ratio}; wanted at least 0 and at most 1")
        if min(self.image_std) <= 0:
            problems.add("image_std", f"got {self.image_std}; wanted positive numbers")
        for name in ("video_frames", "text"):
            if len(getattr(self, name)) != 1:
                problems.add(name, f"got {', '.join(getattr(self, name)) or 'nothing'}; wanted one")
        lacking = [name for name in BACKBONE_SIZES if not isinstance(self._size(name), int)]
        if lacking:
            problems.add("backbone", f"lacks {', '.join(lacking)}; wanted the to_dict() of a CLIPConfig")
        else:
            self.check_backbone(problems)

    def check_least(self, problems: Problems, **least: float) -> None:
        """Add the options that are below the least value they may have."""
        for name, value in least.items():
            if not getattr(self, name) >= value:
                problems.add(name, f"got {getattr(self, name)}; wanted at least {value}")

    def check_backbone(self, problems: Problems) -> None:
        """Add what the backbone, whose sizes are known, cannot serve."""
        if self.max_words > self.positions:
            problems.add("max_words", f"got {self.max_words}; the text tower has {self.positions} positions")
        if self.reads_vectors and self.video_frames[self.video_name] != self.dim:
            got = f"{self.video_name} with {self.video_frames[self.video_name]} dimensions"
            problems.add("video_frames", f"got {got}; wanted vectors of the backbone, {self.dim}")
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
    def kind(self) -> str:
        """What the vectors of shots are called, besides their weights."""
        return self.architecture

    @property
    def row_dim(self) -> int:
        """Dimension of an embedding of a video."""
        return self.dim

    @property
    def pairwise(self) -> bool:
        """Whether a score needs text and frames together, so that a shot has no vector of its own."""
        return False

    @property
    def single_frames(self) -> bool:
        """Whether a frame has a vector whatever the frames around it are."""
        return True

    @property
    def image_size(self) -> int:
        """S, the height and width of a frame in pixels."""
        return int(self._size("vision_config.image_size"))

    @property
    def positions(self) -> int:
        """Rows of the text tower's position table, and of the frames'."""
        return int(self._size("text_config.max_position_embeddings"))

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
