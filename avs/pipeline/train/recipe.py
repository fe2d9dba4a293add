"""The YAML behind the train verbs: data, features, model, training, and grids of models."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationInfo, field_validator, model_validator

from avs.captions.per_video import CaptionsPerVideo
from avs.core.errors import ConfigError
from avs.features.text import TextOptions, text_feature_name
from avs.features.text.concepts import ConceptOptions
from avs.models.architectures import architectures
from avs.train.frame_choice import FrameChoice
from avs.train.settings import Settings
from avs.video.find import VideoIds
from avs.video.frame_cache import CacheSettings

DEFAULT_MODEL = {"architecture": "laff"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VideosRecipe(_Strict):
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


class FramesRecipe(_Strict):
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


class Layout(_Strict):
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


class ValidationRecipe(VideosRecipe):
    """What decides which epoch is best.

    Attributes:
        share: share of the training videos to hold out with all their captions; the default is 0.1.
        collection: name of a collection to validate on instead.
        topics, qrels, and features or videos: a judged test collection to validate on instead, by xinfAP.
        measure: "MRR" (LAFF's authors'), "R@1" (CLIP4Clip's), "SumR" (R@1 + R@5 + R@10), or "xinfAP".
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    collection: str | None = None
    topics: Path | None = None
    qrels: Path | None = None
    measure: Literal["MRR", "R@1", "SumR", "xinfAP"] = "MRR"

    @model_validator(mode="after")
    def _one_way(self) -> ValidationRecipe:
        judged = (self.topics is not None, self.qrels is not None, bool(self.features or self.videos))
        if any(judged) and not all(judged):
            raise ValueError("xinfAP needs topics, qrels and features (or videos), all three")
        if (self.measure == "xinfAP") != any(judged):
            raise ValueError("measure xinfAP goes with topics, qrels and features (or videos), and only with them")
        if sum((self.share is not None, self.collection is not None, any(judged))) > 1:
            raise ValueError("give one of share, collection, or topics with qrels and features (or videos)")
        return self


class FromAttention(_Strict):
    """The video features to which a trained model gives most attention.

    Attributes:
        checkpoint: that model.
        keep: number of features.
    """

    checkpoint: Path
    keep: int = Field(ge=1)


class GridRecipe(_Strict):
    """Axes of a grid; every combination is a model. An axis that is left out has only the recipe's own value.

    Attributes:
        pretrain: label -> collections to pre-train on ([]: no pre-training).
        video: label -> video features.
        text: label -> text features.
        model, training, frames: key of that section -> its values. A value's label is "KEY-VALUE".
        seed: seeds.
    """

    pretrain: dict[str, list[str]] = {}
    video: dict[str, list[str]] = {}
    text: dict[str, list[TextOptions]] = {}
    model: dict[str, list[Any]] = {}
    training: dict[str, list[Any]] = {}
    frames: dict[str, list[Any]] = {}
    seed: list[int] = []


class TrainRecipe(_Strict):
    """Everything that decides the result of a training.

    Attributes:
        layout: files of the collections that do not name their own.
        collections: by name.
        train: collections to train on, all at once; None: all that are not used otherwise.
        pretrain: collections to train on first, to the end. Training then starts from the best checkpoint of that, with
            its vocabularies.
        start_from: a checkpoint to start from instead.
        validation: see ValidationRecipe; it is also that of the pre-training.
        video: names of video features, or the most attended ones of a trained model; None: all the stores given.
        text: text features, names or mappings with options (docs/text_features.md); None: the text tower of every
            video feature that has one, and bag of words where the architecture wants it.
        frames: of collections that give videos, see FramesRecipe.
        model: name of the architecture, and its options.
        training: see `avs.train.settings.Settings`; an option that is left out has the value of the architecture's
            authors.
        legacy: do as the authors' code does, wherever it differs from what it means to do.
        grid: train one model for each combination.
    """

    layout: Layout = Layout()
    collections: dict[str, CollectionRecipe] = Field(min_length=1)
    train: list[str] | None = Field(default=None, min_length=1)
    pretrain: list[str] = []
    start_from: Path | None = None
    validation: ValidationRecipe = ValidationRecipe()
    video: Annotated[list[str], Field(min_length=1)] | FromAttention | None = None
    text: list[TextOptions] | None = Field(default=None, min_length=1)
    frames: FramesRecipe | None = None
    model: dict[str, Any] = DEFAULT_MODEL
    training: Settings = Settings()
    legacy: bool = False
    grid: GridRecipe | None = None

    @model_validator(mode="before")
    @classmethod
    def _laid_out(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data.get("layout") or not isinstance(data.get("collections"), dict):
            return data
        layout = Layout.model_validate(data["layout"])
        filled = {}
        for name, collection in data["collections"].items():
            if not isinstance(collection, dict | None):
                filled[name] = collection
                continue
            filled[name] = layout.fill(name, collection or {})
        return {**data, "collections": filled}

    @model_validator(mode="before")
    @classmethod
    def _authors_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled = {key: value for key, value in data.items() if value is not None}
        model = filled.get("model", DEFAULT_MODEL)
        name = str(model.get("architecture")) if isinstance(model, dict) else ""
        authors = architectures.get(name).recipe if name in architectures else {}
        for key, values in authors.items():
            if isinstance(filled.get(key, {}), dict):
                filled[key] = {**values, **filled.get(key, {})}
        validation, own = filled.get("validation"), data.get("validation")
        if isinstance(validation, dict) and "topics" in validation and "measure" not in (own or {}):
            filled["validation"] = {**validation, "measure": "xinfAP"}
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> TrainRecipe:
        named = {*(self.train or []), *self.pretrain, *filter(None, [self.validation.collection])}
        if self.grid:
            named |= {name for names in self.grid.pretrain.values() for name in names}
        unknown = sorted(named - set(self.collections))
        if unknown:
            raise ValueError(f"no such collection: {', '.join(unknown)}; there are {', '.join(self.collections)}")
        if self.start_from and (self.pretrain or (self.grid and self.grid.pretrain)):
            raise ValueError("give start_from or pretrain, not both")
        self._require_different_names()
        if not self.trained_on():
            raise ValueError("no collection is left to train on")
        self._require_known_axes()
        self._require_frames_of_videos()
        name = self.model.get("architecture")
        options = architectures.get(str(name)).options
        asked = {*self.model, *(self.grid.model if self.grid else ())}
        wrong = sorted(key for key in asked if key not in (*options, "architecture"))
        if wrong:
            raise ValueError(f"{name} has no option {', '.join(wrong)}; it has {', '.join(options)}")
        return self

    def _require_known_axes(self) -> None:
        """Every value of an axis of `training` makes settings, and none is there twice."""
        grid = self.grid or GridRecipe()
        if "architecture" in grid.model:
            raise ValueError("grid.model: the architecture is no axis; each has its own verb")
        if "seed" in grid.training:
            raise ValueError("grid.training: seeds are the axis grid.seed")
        for section, axes in (("model", grid.model), ("training", grid.training), ("frames", grid.frames)):
            for key, values in axes.items():
                labels = [_label(key, value) for value in values]
                if not values or len(set(labels)) < len(labels):
                    raise ValueError(f"grid.{section}.{key}: wanted different values, got {values}")
        for key, values in grid.training.items():
            for value in values:
                _with_training(self.training, {key: value})
        for key, values in grid.frames.items():
            for value in values:
                _with_frames(self.frames, {key: value})

    def _require_frames_of_videos(self) -> None:
        """All collections give videos, or all give features; frames are those of videos."""
        sources = {name: bool(one.videos) for name, one in self.collections.items()}
        if self.validation.topics:
            sources["validation"] = bool(self.validation.videos)
        if len(set(sources.values())) > 1:
            of_videos = ", ".join(name for name, videos in sources.items() if videos)
            of_features = ", ".join(name for name, videos in sources.items() if not videos)
            raise ValueError(
                f"all collections give videos, or all give features; {of_videos}: videos; {of_features}: features"
            )
        if not self.reads_videos and (self.frames or (self.grid and self.grid.frames)):
            raise ValueError("frames are for collections that give videos and shots")
        if self.reads_videos and not architectures.get(str(self.model.get("architecture"))).backbone:
            raise ValueError(f"{self.model.get('architecture')} reads feature stores: give features, not videos")
        if self.reads_videos and self.video is not None:
            raise ValueError("video: names of features are for collections that give features, not videos")

    def _require_different_names(self) -> None:
        lists = {"train": self.train, "pretrain": self.pretrain, "video": self.video}
        chosen = {label: names for label, names in lists.items() if isinstance(names, list)}
        texts = {
            "text": self.text or [],
            **{f"grid.text.{k}": v for k, v in (self.grid.text if self.grid else {}).items()},
        }
        chosen |= {label: [text_feature_name(option) for option in options] for label, options in texts.items()}
        for label, names in chosen.items():
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{label}: {', '.join(twice)} is named twice")
        for options in texts.values():
            concepts = [text_feature_name(option) for option in options if isinstance(option, ConceptOptions)]
            if any(name != self.model.get("concepts") for name in concepts):
                raise ValueError("concepts are labels, not a text feature: name them in the model's `concepts`")

    @property
    def reads_videos(self) -> bool:
        """Whether the collections give videos, not features."""
        return any(collection.videos for collection in self.collections.values())

    @property
    def architecture(self) -> str:
        """Name of the model."""
        return str(self.model["architecture"])

    def trained_on(self) -> list[str]:
        """Names of the collections to train on, after any pre-training."""
        if self.train is not None:
            return self.train
        others = {*self.pretrain, self.validation.collection}
        if self.grid:
            others |= {name for names in self.grid.pretrain.values() for name in names}
        return [name for name in self.collections if name not in others]

    def summary(self) -> dict[str, Any]:
        """The collections, features and seed of the model, as `avs train-NAME --list` prints them."""
        return {
            "pretrain": self.pretrain,
            "train": self.trained_on(),
            "video": self.video if isinstance(self.video, list) else None,
            "text": [text_feature_name(option) for option in self.text] if self.text else None,
            "seed": self.training.seed,
        }


def expand(recipe: TrainRecipe) -> dict[str, TrainRecipe]:
    """Name -> recipe of each model of the grid, in the order of the axes; without a grid, "" -> the recipe itself.

    A name joins the labels of the axes that vary, such as "v3c1-pc.no-wsl.seed2".
    """
    if recipe.grid is None:
        return {"": recipe}
    grid = recipe.grid
    axes: list[list[tuple[str, dict[str, Any]]]] = [
        [(label, {"pretrain": names}) for label, names in grid.pretrain.items()],
        [(label, {"video": names}) for label, names in grid.video.items()],
        [(label, {"text": features}) for label, features in grid.text.items()],
        *([(_label(key, v), {"model": {key: v}}) for v in values] for key, values in grid.model.items()),
        *([(_label(key, v), {"training": {key: v}}) for v in values] for key, values in grid.training.items()),
        *([(_label(key, v), {"frames": {key: v}}) for v in values] for key, values in grid.frames.items()),
        [(f"seed{seed}", {"training": {"seed": seed}}) for seed in grid.seed],
    ]
    models = {}
    for chosen in product(*(axis for axis in axes if axis)):
        changes: dict[str, Any] = {"grid": None, "train": recipe.trained_on()}
        model: dict[str, Any] = dict(recipe.model)
        training: dict[str, Any] = {}
        frames: dict[str, Any] = {}
        for _, change in chosen:
            model |= change.get("model", {})
            training |= change.get("training", {})
            frames |= change.get("frames", {})
            changes |= change
        changes |= {"model": model, "training": _with_training(recipe.training, training)}
        changes["frames"] = _with_frames(recipe.frames, frames) if frames else recipe.frames
        models[".".join(label for label, _ in chosen)] = recipe.model_copy(update=changes)
    return models


def _label(key: str, value: Any) -> str:
    """The label of a value of an axis, as part of a folder's name."""
    return re.sub(r"[^\w.-]+", "_", f"{key}-{value}").replace(".", "_")


def _with_training(training: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with some changed, checked.

    Raises:
        ValueError: a key or a value that settings do not have.
    """
    unknown = sorted(set(changes) - {setting.name for setting in fields(Settings)})
    if unknown:
        raise ValueError(f"training has no setting {', '.join(unknown)}")
    return TypeAdapter(Settings).validate_python({**asdict(training), **changes})


def _with_frames(frames: FramesRecipe | None, changes: dict[str, Any]) -> FramesRecipe:
    """The frames with some keys changed, checked.

    Raises:
        ValueError: a key or a value that there is not.
    """
    return FramesRecipe.model_validate({**(frames.model_dump() if frames else {}), **changes})
