"""TeachCLIP: its options and the settings of its authors. The model is avs/models/teachclip.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from avs.core.errors import Problems
from avs.models.architectures.architecture import Architecture, architectures, option
from avs.models.architectures.clip4clip import Clip4ClipConfig, head_config
from avs.models.architectures.clip_video import ClipVideoConfig, Init, clip4clip_recipe
from avs.models.architectures.footprint import dot_product

if TYPE_CHECKING:
    from avs.models.teachclip import TeachClip

Coarse = Literal["pear", "ce", "l1"]
COARSE_WEIGHT, FINE_WEIGHT = 1.0, 2.0


@dataclass(frozen=True, slots=True)
class TeachClipConfig(ClipVideoConfig):
    """The options of a TeachCLIP student, beside those of every model on a CLIP.

    Attributes:
        layers, init, position_scale: of its seqTransf, as in Clip4ClipConfig.
        coarse: how scores are compared with a teacher's: "pear", by correlation; "ce", by cross entropy; "l1".
        own_weight: of the cross entropy of the student's own scores in the loss.
        coarse_weight: of the comparison of scores; 0: scores are not taught.
        fine_weight: of the comparison of frames; 0: frames are not taught.
        afa_ratio: factor on the learning rate for the two layers that weigh frames.
        legacy: frames that only fill up take part, in the vector of a video and in what is taught, and other captions
            of the same video are negatives in the student's own part, as in the authors' code.
    """

    architecture: ClassVar[str] = "teachclip"

    layers: int = 4
    init: Init = "clip"
    position_scale: float = 1.0
    coarse: Coarse = option("pear", "How scores are compared with a teacher's: pear, ce or l1")
    own_weight: float = option(0.2, "Weight of the loss without a teacher")
    coarse_weight: float = option(COARSE_WEIGHT, "Weight of what teachers say of pairs")
    fine_weight: float = option(FINE_WEIGHT, "Weight of what teachers say of frames")
    afa_ratio: float = 10.0

    def check(self, problems: Problems) -> None:
        ClipVideoConfig.check(self, problems)
        self.check_least(problems, layers=1, position_scale=0, afa_ratio=0)
        weights = dict.fromkeys(("own_weight", "coarse_weight", "fine_weight"), 0)
        self.check_least(problems, **weights)
        if not any(getattr(self, name) for name in weights):
            problems.add(", ".join(weights), "got 0 for all; wanted a positive number for one, or nothing is learnt")

    def check_backbone(self, problems: Problems) -> None:
        ClipVideoConfig.check_backbone(self, problems)
        if self.max_frames > self.positions:
            got = f"got {self.max_frames}; seqTransf has {self.positions} positions, one for each frame"
            problems.add("max_frames", got)

    @property
    def frame_head(self) -> Clip4ClipConfig:
        """The config of seqTransf."""
        return head_config(self, "seqTransf")


def _build(config: TeachClipConfig) -> TeachClip:
    from avs.models.teachclip import TeachClip

    return TeachClip(config)


def _taught(options: Mapping[str, Any]) -> bool:
    return bool(options.get("coarse_weight", COARSE_WEIGHT) or options.get("fine_weight", FINE_WEIGHT))


architectures.register("teachclip")(
    Architecture(
        config=TeachClipConfig,
        build=_build,
        recipe=clip4clip_recipe(batch_size=120, epochs=10),
        backbone=True,
        footprint=lambda config: dot_product(config.dim),
        every_feature=lambda options: True,
        taught=_taught,
        summary="Train TeachCLIP's student, a CLIP that learns from a slower model, on captioned videos.",
        description="Train TeachCLIP's student on captioned videos: a CLIP, whose weights --backbone names, with one "
        "vector for a video, as CLIP4Clip. It learns from the captions and from teachers (--teacher), such as X-CLIP, "
        "that compare words with frames and are too slow to search. Teachers are needed in training alone.",
        examples="""
avs train-teachclip --backbone clip-vit-b32 --teacher xclip --captions c.txt --videos videos/ --shots s.tsv -o student
avs train-teachclip --backbone clip-vit-b32 --teacher xclip --captions c.txt --store clip-vit-b32/frame -o student
avs train-teachclip --config configs/train/teachclip_msrvtt9k.yaml --teacher models/xclip --device cuda -o student
""",
    )
)
