"""CLIP2Video: its options, and settings for its training. The model is avs/models/clip2video.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from avs.core.errors import Problems
from avs.models.architectures.architecture import Architecture, architectures, option
from avs.models.architectures.clip_video import ClipVideoConfig, Init, clip4clip_recipe
from avs.models.architectures.footprint import dot_product

if TYPE_CHECKING:
    from avs.models.clip2video import Clip2Video

Temporal = Literal["sigmoid_selfA", "sigmoid_mlp", "none"]
Alignment = Literal["TAB_TDB", "TAB", "none"]


@dataclass(frozen=True, slots=True)
class Clip2VideoConfig(ClipVideoConfig):
    """The options of a CLIP2Video, beside those of every model on a CLIP.

    Attributes:
        temporal: what is between the frames: "sigmoid_selfA", differences that have attended to each other;
            "sigmoid_mlp", differences through a linear map; "none", nothing, which is CLIP4Clip's seqTransf.
        alignment: "TAB_TDB": texts and videos are aligned by shared centres, and every second frame is read again,
            with differences between them; "TAB": without these differences; "none": the global similarity alone.
        centres: K, the number of centres.
        global_weight: lambda, the weight of the global similarity and its loss; the aligned one has the rest.
        layers: blocks of the transformer over the frames.
        init: "clip": blocks are copied from the text tower of the CLIP, as published; "zero": the same, but what they
            add to the frames starts at 0, so that the global vector starts at the mean of the frames.
        position_scale: the positions and types of the frames start at this multiple of the text tower's.
        legacy: as in the authors' code: with several videos, attention heads have the masks of other videos; the
            difference between the last frame and the first pad is not masked; pads are blank pictures up to
            `max_frames`; other captions of the same video are negatives.
    """

    architecture: ClassVar[str] = "clip2video"

    temporal: Temporal = option("sigmoid_selfA", "What is between the frames")
    alignment: Alignment = option("TAB_TDB", "How words and frames are aligned")
    centres: int = option(5, "Centres of the alignment")
    global_weight: float = 0.5
    layers: int = 4
    init: Init = "clip"
    position_scale: float = 1.0

    def check(self, problems: Problems) -> None:
        ClipVideoConfig.check(self, problems)
        self.check_least(problems, layers=1, centres=1, position_scale=0)
        if not 0 <= self.global_weight <= 1:
            problems.add("global_weight", f"got {self.global_weight}; wanted at least 0 and at most 1")
        self._check_differences(problems)

    def check_backbone(self, problems: Problems) -> None:
        ClipVideoConfig.check_backbone(self, problems)
        if self.max_frames > self.positions:
            problems.add("max_frames", f"got {self.max_frames}; there are {self.positions} positions of frames")

    @property
    def row_dim(self) -> int:
        """2D: the global and the aligned vector; D without alignment."""
        return self.dim if self.alignment == "none" else 2 * self.dim

    @property
    def kind(self) -> str:
        return f"{self.temporal}, {self.alignment}"

    def _check_differences(self, problems: Problems) -> None:
        doubled = self.alignment == "TAB_TDB"
        if self.temporal == "none" and doubled:
            problems.add("alignment", "got TAB_TDB with temporal none; without differences it is TAB")
        least, what = (3, f"alignment {self.alignment}") if doubled else (2, f"temporal {self.temporal}")
        if self.temporal != "none" and 1 <= self.max_frames < least:
            problems.add("max_frames", f"got {self.max_frames}; differences of {what} need at least {least} frames")


def _build(config: Clip2VideoConfig) -> Clip2Video:
    from avs.models.clip2video import Clip2Video

    return Clip2Video(config)


architectures.register("clip2video")(
    Architecture(
        config=Clip2VideoConfig,
        build=_build,
        recipe=clip4clip_recipe(
            batch_size=128, epochs=5
        ),  # CLIP4Clip's, whose code CLIP2Video's grew from: its authors released no training
        backbone=True,
        footprint=lambda config: dot_product(config.row_dim),
        every_feature=lambda options: True,
        summary="Train CLIP2Video, a CLIP with differences of frames, on captioned videos.",
        description="Train CLIP2Video on captioned videos: a CLIP, whose weights --backbone names, differences between "
        "its frames, and centres that align frames and words. With --videos and --shots all of it is trained, on "
        "pixels; with a frame-level store of that CLIP (--store), its vision tower stays as it is.",
        examples="""
avs train-clip2video --backbone clip-vit-b32 --captions c.txt --videos videos/ --shots shots.tsv -o models/clip2video
avs train-clip2video --backbone clip-vit-b32 --alignment none --captions c.txt --store clip-vit-b32/frame -o models/tdb
avs train-clip2video --config configs/train/clip2video_msrvtt9k.yaml --device cuda -o models/clip2video
""",
    )
)
