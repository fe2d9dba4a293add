"""The YAML behind the train verbs: data, features, model, training, and grids of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from avs.features.text import TextOptions, text_feature_name
from avs.features.text.concepts import ConceptOptions
from avs.models.architectures import architectures
from avs.pipeline.train.collection_recipe import CollectionRecipe, FramesRecipe, Layout, Strict, VideosRecipe
from avs.pipeline.train.grid import GridRecipe, label_of, with_frames, with_training
from avs.train.settings import Settings

DEFAULT_MODEL = {"architecture": "laff"}
MOST_PAIRS = 20_000_000  # every epoch: 5 minutes of one core for X-CLIP; a training step scores them by the batch too


class ValidationRecipe(VideosRecipe):
    """What decides which epoch is best.

    Attributes:
        share: share of the training videos to hold out with all their captions; the default is 0.1.
        collection: name of a collection to validate on instead.
        topics, qrels, and features or videos: a judged test collection to validate on instead, by xinfAP.
        most_pairs: most pairs of a text and a video that a model scores which reads both together.
        measure: "MRR" (LAFF's authors'), "R@1" (CLIP4Clip's), "SumR" (R@1 + R@5 + R@10), or "xinfAP".
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    collection: str | None = None
    topics: Path | None = None
    qrels: Path | None = None
    most_pairs: int = Field(default=MOST_PAIRS, ge=1)
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


class FromAttention(Strict):
    """The video features to which a trained model gives most attention.

    Attributes:
        checkpoint: that model.
        keep: number of features.
    """

    checkpoint: Path
    keep: int = Field(ge=1)


class TrainRecipe(Strict):
    """Everything that decides the result of a training.

    Attributes:
        layout: files of the collections that do not name their own.
        collections: by name.
        train: collections to train on, all at once; None: all that are not used otherwise.
        pretrain: collections to train on first, to the end. Training then starts from the best checkpoint of that, with
            its vocabularies.
        start_from: a checkpoint to start from instead.
        teachers: checkpoints that the model learns from, for architectures that do.
        other_frames: whether a teacher may have been trained on frames that were sampled otherwise.
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
    teachers: list[Path] = []
    other_frames: bool = False
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
                labels = [label_of(key, value) for value in values]
                if not values or len(set(labels)) < len(labels):
                    raise ValueError(f"grid.{section}.{key}: wanted different values, got {values}")
        for key, values in grid.training.items():
            for value in values:
                with_training(self.training, {key: value})
        for key, values in grid.frames.items():
            for value in values:
                with_frames(self.frames, {key: value})

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
                models = ", or rename the folder of one: a trained model is called as its folder"
                advice = f"name each once{'' if label in ('train', 'pretrain') else models}"
                raise ValueError(f"{label}: {', '.join(twice)} is named twice; {advice}")
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

    @property
    def options(self) -> dict[str, Any]:
        """Options of the model, as its architecture takes them."""
        return {key: value for key, value in self.model.items() if key != "architecture"}

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
