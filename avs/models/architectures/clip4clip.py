"""CLIP4Clip: its options and the settings of its authors. The model is avs/models/clip4clip.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from avs.core.errors import Problems
from avs.models.architectures.architecture import Architecture, Direction, architectures, option
from avs.models.architectures.clip_video import ClipVideoConfig, Init, Patches, clip4clip_recipe
from avs.models.architectures.footprint import Footprint, dot_product

if TYPE_CHECKING:
    from avs.models.clip4clip import Clip4Clip

FrameHeadName = Literal["meanP", "seqLSTM", "seqTransf", "tightTransf"]
Tight = Literal["code", "paper"]
Loss = Literal["cross-entropy", "margin", "mil-nce"]


@dataclass(frozen=True, slots=True)
class Clip4ClipConfig(ClipVideoConfig):
    """The options of a CLIP4Clip, beside those of every model on a CLIP.

    Attributes:
        head: how frames become a similarity: "meanP", their mean; "seqLSTM" and "seqTransf", an LSTM or a transformer
            over time before the mean; "tightTransf", a transformer over each text and video together.
        layers: blocks of the transformer of seqTransf and tightTransf.
        patches: "2d": the patch projection of the CLIP, frame by frame; "3d": a projection of three frames in a row.
        init: "clip": blocks are copied from the text tower of the CLIP, and an LSTM is random, as published; "zero":
            the same, but what they add to the frames starts at 0, so that training starts at meanP.
        position_scale: the positions of the frames start at this multiple of the text tower's.
        tight: "code": tightTransf as released; "paper": with type embeddings and FC-ReLU-FC.
        dropout: probability of dropout at the input of tightTransf's transformer.
        loss: "cross-entropy", symmetric, of the cosines times CLIP's logit scale; "margin": LAFF's margin ranking loss
            of the cosines, against the hardest negative, with `margin` and `direction` ("t2v", "v2t" or "both");
            "mil-nce": MIL-NCE of the cosines times the logit scale, with `positives`.
        positives: of "mil-nce": at most this number of captions in a row belong to a clip, its own in their middle.
        legacy: other captions of the same video are negatives, as in the authors' code.
    """

    architecture: ClassVar[str] = "clip4clip"

    head: FrameHeadName = option("meanP", "How frames become a similarity")
    layers: int = 4
    patches: Patches = "2d"
    init: Init = "clip"
    position_scale: float = 1.0
    tight: Tight = "code"
    dropout: float = 0.1
    loss: Loss = option("cross-entropy", "cross-entropy, margin (LAFF's), or mil-nce (of narrated videos)")
    margin: float = 0.2
    direction: Direction = "t2v"
    positives: int = 1

    def check(self, problems: Problems) -> None:
        ClipVideoConfig.check(self, problems)
        self.check_least(problems, layers=1, position_scale=0, positives=1)
        if not 0 <= self.dropout < 1:
            problems.add("dropout", f"got {self.dropout}; wanted at least 0 and below 1")
        if not self.margin > 0:
            problems.add("margin", f"got {self.margin}; wanted a positive number")
        self._check_combinations(problems)

    def check_backbone(self, problems: Problems) -> None:
        ClipVideoConfig.check_backbone(self, problems)
        if self.most_frames is not None and self.max_frames > self.most_frames:
            own = "one of them for the text" if self.head == "tightTransf" else "one for each frame"
            problems.add("max_frames", f"got {self.max_frames}; {self.head} has {self.positions} positions, {own}")

    def _check_combinations(self, problems: Problems) -> None:
        if self.patches == "3d" and self.max_frames == 1:
            problems.add("patches", "got 3d with max_frames 1; a projection over time needs at least 2 frames")
        if self.patches == "3d" and self.reads_vectors:
            problems.add("patches", "got 3d with vectors of frames; a projection over time needs pixels")
        if self.init == "zero" and self.head == "tightTransf":
            problems.add("init", "got zero with head tightTransf, whose blocks are all that joins text and video")
        if self.tight == "paper" and self.head != "tightTransf":
            problems.add("tight", f"got paper with head {self.head}; it is an option of head tightTransf")
        if self.positives > 1 and self.loss != "mil-nce":
            problems.add("positives", f"got {self.positives} with loss {self.loss}; it is an option of loss mil-nce")

    @property
    def kind(self) -> str:
        return self.head

    @property
    def pairwise(self) -> bool:
        return self.head == "tightTransf"

    @property
    def single_frames(self) -> bool:
        return self.patches == "2d"

    @property
    def most_frames(self) -> int | None:
        """The largest `max_frames` that the head can serve; None: there is no limit."""
        if self.head in ("meanP", "seqLSTM"):
            return None
        return self.positions - (self.head == "tightTransf")


def head_config(config: Any, head: FrameHeadName) -> Clip4ClipConfig:
    """The config of a head of CLIP4Clip in a model whose config has the options of one too."""
    return Clip4ClipConfig(
        config.backbone,
        max_frames=config.max_frames,
        max_words=config.max_words,
        head=head,
        layers=config.layers,
        init=config.init,
        position_scale=config.position_scale,
    )


def _footprint(config: Clip4ClipConfig) -> Footprint:
    """One vector for a shot; with tightTransf all frames, and a pass through the transformer for every pair."""
    if config.head != "tightTransf":
        return dot_product(config.dim)
    dim, places = config.dim, config.max_frames + 1  # the text is a token too
    _, hidden = config.block_sizes
    block = places * (4 * dim**2 + 2 * dim * hidden) + 2 * places**2 * dim  # projections, hidden layer; attention
    return Footprint(
        shot_numbers=config.max_frames * (dim + 1),  # frames and their mask
        query_numbers=dim,
        pair_multiply_adds=config.layers * block + dim**2 + dim,
    )


def _build(config: Clip4ClipConfig) -> Clip4Clip:
    from avs.models.clip4clip import Clip4Clip

    return Clip4Clip(config)


architectures.register("clip4clip")(
    Architecture(
        config=Clip4ClipConfig,
        build=_build,
        recipe=clip4clip_recipe(batch_size=128, epochs=5),
        backbone=True,
        footprint=_footprint,
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
