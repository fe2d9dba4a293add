"""X-CLIP: its options and the settings of its authors. The model is avs/models/xclip.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from avs.core.errors import Problems
from avs.models.architectures.architecture import Architecture, architectures, option
from avs.models.architectures.clip4clip import Clip4ClipConfig, head_config
from avs.models.architectures.clip_video import ClipVideoConfig, Init, clip4clip_recipe
from avs.models.architectures.footprint import Footprint

if TYPE_CHECKING:
    from avs.models.xclip import XClip

LooseHeadName = Literal["meanP", "seqLSTM", "seqTransf"]


@dataclass(frozen=True, slots=True)
class XClipConfig(ClipVideoConfig):
    """The options of an X-CLIP, beside those of every model on a CLIP.

    `max_frames` and `max_words` are the sizes of learned matrices, so a trained model keeps them.

    Attributes:
        head: the head of CLIP4Clip that makes the vector of a video of its frames.
        layers, init, position_scale: of that head, as in Clip4ClipConfig.
        temperature: what similarities are divided by in the softmax over words or frames.
        legacy: words and frames that only fill up take part, and other captions of the same video are negatives, as in
            the authors' code.
    """

    architecture: ClassVar[str] = "xclip"

    head: LooseHeadName = option("seqTransf", "How frames become the vector of a video")
    layers: int = 4
    init: Init = "clip"
    position_scale: float = 1.0
    temperature: float = 0.01

    def check(self, problems: Problems) -> None:
        ClipVideoConfig.check(self, problems)
        self.check_least(problems, layers=1, position_scale=0)
        if not self.temperature > 0:
            problems.add("temperature", f"got {self.temperature}; wanted a positive number")

    def check_backbone(self, problems: Problems) -> None:
        ClipVideoConfig.check_backbone(self, problems)
        if self.head == "seqTransf" and self.max_frames > self.positions:
            got = f"got {self.max_frames}; {self.head} has {self.positions} positions, one for each frame"
            problems.add("max_frames", got)

    @property
    def pairwise(self) -> bool:
        return True

    @property
    def frame_head(self) -> Clip4ClipConfig:
        """The config of the head over the frames."""
        return head_config(self, self.head)


def _footprint(config: XClipConfig) -> Footprint:
    """All frames and words, with their masks; a similarity for each two of them, and eight matrices."""
    dim, words, frames = config.dim, config.max_words, config.max_frames
    similarities = (1 + words + frames + words * frames) * dim  # s_vs, s_vw, s_sf and A
    attention = 2 * words**2 + 2 * frames**2  # M_w, M_f, N_w2, N_f2
    attention += frames * words**2 + words * frames**2  # N_w for each frame, N_f for each word
    return Footprint(
        shot_numbers=dim * (1 + frames) + frames,
        query_numbers=dim * (1 + words) + words,
        pair_multiply_adds=similarities + attention,
        query_multiply_adds=(1 + words) * dim**2,  # G and L
    )


def _build(config: XClipConfig) -> XClip:
    from avs.models.xclip import XClip

    return XClip(config)


architectures.register("xclip")(
    Architecture(
        config=XClipConfig,
        build=_build,
        recipe=clip4clip_recipe(batch_size=300, epochs=5),
        backbone=True,
        footprint=_footprint,
        every_feature=lambda options: True,
        teaches=True,
        summary="Train X-CLIP, a CLIP that compares words with frames, on captioned videos.",
        description="Train X-CLIP on captioned videos: a CLIP, whose weights --backbone names, and similarities of "
        "sentence and words with video and frames. Every pair of text and video is a pass of its own, so the model "
        "reranks and teaches, and searches no collection. With --videos and --shots all of it is trained, on pixels; "
        "with a frame-level store of that CLIP (--store), its vision tower stays as it is.",
        examples="""
avs train-xclip --backbone clip-vit-b32 --captions c.txt --videos videos/ --shots shots.tsv -o models/xclip
avs train-xclip --backbone clip-vit-b32 --captions c.txt --store clip-vit-b32/frame -o models/xclip
avs train-xclip --config configs/train/xclip_msrvtt9k.yaml --device cuda -o models/xclip
""",
    )
)
