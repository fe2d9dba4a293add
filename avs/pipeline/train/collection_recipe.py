"""The YAML of collections to train on: their captions, with features or videos, and the frames of videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from avs.captions.per_video import CaptionsPerVideo
from avs.core.errors import ConfigError
from avs.train.frame_choice import FrameChoice
from avs.video.find import VideoIds
from avs.video.frame_cache import CacheSettings


class Strict(BaseModel):
    """A section without unknown keys."""

    model_config = ConfigDict(extra="forbid")


class VideosRecipe(Strict):
    """The videos of a collection, as a model reads them.

    Attributes:
        videos: folder of video files, of which the model reads frames (see FramesRecipe).
        shots: shot table of these videos; `avs shots --per-file` makes one with a shot per file.
        video_ids: how the ids of videos are made of file names, as in `avs shots`.
        features: instead of videos, feature stores or RUC BigFile folders.
    """

    videos: Path | None = None
    shots: Path | None = Field(default=None, validate_default=True)
    video_ids: VideoIds = "stem"
    features: list[Path] = []

    @field_validator("shots")
    @classmethod
    def _shots_go_with_videos(cls, shots: Path | None, info: ValidationInfo) -> Path | None:
        if "videos" in info.data and (shots is None) != (info.data["videos"] is None):
            raise ValueError("videos and shots go together: a folder of videos, and the table that `avs shots` makes")
        return shots

    @field_validator("features")
    @classmethod
    def _one_source(cls, features: list[Path], info: ValidationInfo) -> list[Path]:
        if features and info.data.get("videos"):
            raise ValueError("give features or videos, not both")
        return features


class CollectionRecipe(VideosRecipe):
    """A captioned collection.

    Attributes:
        captions: its caption file; `format` and `split` are arguments of `avs.captions.read.read_captions`.
        captions_per_video: "all" captions of a video, the "first", or all of them as one "paragraph".
    """

    captions: Path
    format: str | None = None
    split: str | None = None
    captions_per_video: CaptionsPerVideo = "all"
    features: list[Path] = Field(default=[], validate_default=True)

    @field_validator("features")
    @classmethod
    def _some_source(cls, features: list[Path], info: ValidationInfo) -> list[Path]:
        if "videos" in info.data and not features and info.data["videos"] is None:
            raise ValueError("give features, or videos and shots")
        return features


class FramesRecipe(Strict):
    """The frames of videos that a model reads.

    Attributes:
        fps: frames a second of the grid in time.
        size: height and width of the pictures; None: the image size of the backbone, which is the only one it takes.
        quality: of the JPEGs in the frame cache.
        policy, order: which frames of the grid a caption sees, see avs.train.frame_choice.
        cache: folder for the frame caches, one per collection; None: in the folder of the training; "none": videos are
            decoded each time.
        max_failed: share of the shots of a collection that may have no frame.
    """

    fps: float = 1.0
    size: int | None = None
    quality: int = 90
    policy: str = "linspace"
    order: str = "normal"
    cache: Path | Literal["none"] | None = None
    max_failed: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _in_range(self) -> FramesRecipe:
        try:
            self.settings(self.size or CacheSettings().size)
            self.choice(1)
        except ConfigError as error:
            raise ValueError(f"{error.what}: {error.got}") from error
        return self

    def settings(self, size: int) -> CacheSettings:
        """Those of the frame cache, for a backbone that takes pictures of `size`."""
        return CacheSettings(self.fps, size, self.quality)

    def choice(self, frames: int) -> FrameChoice:
        """Which of the grid a caption sees: at most `frames`."""
        return FrameChoice(frames, self.policy, self.order)

    def config(self) -> dict[str, Any]:
        """What decides the frames, for a manifest."""
        kept = self.cache != "none"
        decided = {"fps": self.fps, "policy": self.policy, "order": self.order, "jpeg": kept}
        return {**decided, "quality": self.quality} if kept else decided


class Layout(Strict):
    """Where every collection keeps its files; `{name}` is replaced by the collection's name."""

    captions: str | None = None
    features: list[str] = []
    videos: str | None = None
    shots: str | None = None

    def fill(self, name: str, collection: dict[str, Any]) -> dict[str, Any]:
        """A collection with the files that it does not name itself."""
        filled = dict(collection)
        if self.captions:
            filled.setdefault("captions", self.captions.replace("{name}", name))
        if self.features and "videos" not in filled:
            filled.setdefault("features", [path.replace("{name}", name) for path in self.features])
        for key, path in (("videos", self.videos), ("shots", self.shots)):
            if path and "features" not in filled:
                filled.setdefault(key, path.replace("{name}", name))
        return filled
