"""The YAML behind `avs train-laff` and `avs train-dual-encoding`: data, features, model, training, and grids."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from avs.features.text import TextOptions, text_feature_name
from avs.models.architectures import get_architecture
from avs.train.settings import Settings

MEASURES = ("MRR", "SumR", "xinfAP")


# What an architecture's authors trained it with, where that differs from LAFF's.
AUTHORS_DEFAULTS: dict[str, dict[str, Any]] = {
    "dual-encoding": {
        "training": {"optimiser": "adam", "cut_patience": 0, "cut_rest": 3, "epochs": 50},
        "validation": {"measure": "SumR"},
    }
}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CollectionRecipe(_Strict):
    """A captioned collection.

    Attributes:
        captions: its caption file; `format` and `split` as for `avs.captions.read.read_captions`.
        features: feature stores or RUC BigFile folders of its videos.
    """

    captions: Path
    format: str | None = None
    split: str | None = None
    features: list[Path] = Field(min_length=1)


class Layout(_Strict):
    """Where collections keep their files when all do it alike; `{name}` stands for the collection's name."""

    captions: str | None = None
    features: list[str] = []


class ValidationRecipe(_Strict):
    """What decides which epoch is best.

    Attributes:
        share: of the training videos, held out with all their captions; the default.
        collection: a named collection instead.
        topics, qrels, features: a judged test collection instead, for xinfAP.
        measure: "MRR" (the authors'), "SumR" (R@1 + R@5 + R@10), or "xinfAP".
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    collection: str | None = None
    topics: Path | None = None
    qrels: Path | None = None
    features: list[Path] = []
    measure: Literal["MRR", "SumR", "xinfAP"] = "MRR"

    @model_validator(mode="after")
    def _one_source(self) -> ValidationRecipe:
        judged = (self.topics is not None, self.qrels is not None, bool(self.features))
        if any(judged) and not all(judged):
            raise ValueError("xinfAP needs topics, qrels and features, all three")
        if (self.measure == "xinfAP") != any(judged):
            raise ValueError("measure xinfAP goes with topics, qrels and features, and only with them")
        if sum((self.share is not None, self.collection is not None, any(judged))) > 1:
            raise ValueError("give one of share, collection, or topics with qrels and features")
        return self


class FromAttention(_Strict):
    """The features a trained LAFF attended to most.

    Attributes:
        checkpoint: of that LAFF.
        keep: how many.
    """

    checkpoint: Path
    keep: int = Field(ge=1)


class GridRecipe(_Strict):
    """Axes of a grid; every combination is a model. An axis that is absent has the recipe's own value alone.

    Attributes:
        pretrain: label -> collections to pre-train on ([]: no pre-training).
        video: label -> video features.
        text: label -> text features.
        seed: seeds.
    """

    pretrain: dict[str, list[str]] = {}
    video: dict[str, list[str]] = {}
    text: dict[str, list[TextOptions]] = {}
    seed: list[int] = []


class TrainRecipe(_Strict):
    """Everything that decides what a training gives.

    Attributes:
        layout: files of the collections that do not name their own.
        collections: by name.
        train: collections to train on, all at once; None: all of them.
        pretrain: collections to train on to the end before that; training then starts from the best checkpoint of
            that, with its vocabularies.
        start_from: a checkpoint to start from instead.
        validation: see there; also of the pre-training.
        video: names of video features, or the most attended ones of a trained model; None: all the stores given.
        text: text features, names or mappings with options (docs/text_features.md); None: the text tower of every
            video feature that has one, and for LAFF bag of words.
        model: architecture and its options.
        training: see `avs.train.settings.Settings`; what is not said is as the architecture's authors have it.
        legacy: do as the authors' code wherever it differs from what it means to do.
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
    model: dict[str, Any] = {"architecture": "laff"}
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
        for name, given in data["collections"].items():
            if not isinstance(given, dict | None):
                filled[name] = given
                continue
            own = dict(given or {})
            if layout.captions:
                own.setdefault("captions", layout.captions.replace("{name}", name))
            if layout.features:
                own.setdefault("features", [path.replace("{name}", name) for path in layout.features])
            filled[name] = own
        return {**data, "collections": filled}

    @model_validator(mode="before")
    @classmethod
    def _authors_defaults(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        filled = {key: value for key, value in data.items() if value is not None}
        model = filled.get("model", {"architecture": "laff"})
        authors = AUTHORS_DEFAULTS.get(model.get("architecture", ""), {}) if isinstance(model, dict) else {}
        for key, value in authors.items():
            if isinstance(filled.get(key, {}), dict):
                filled[key] = {**value, **filled.get(key, {})}
        asked, given = filled.get("validation"), data.get("validation")
        if isinstance(asked, dict) and "topics" in asked and "measure" not in (given or {}):
            filled["validation"] = {**asked, "measure": "xinfAP"}
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> TrainRecipe:
        asked = {*(self.train or []), *self.pretrain, *filter(None, [self.validation.collection])}
        if self.grid:
            asked |= {name for names in self.grid.pretrain.values() for name in names}
        unknown = sorted(asked - set(self.collections))
        if unknown:
            raise ValueError(f"no such collection: {', '.join(unknown)}; there are {', '.join(self.collections)}")
        if self.start_from and (self.pretrain or (self.grid and self.grid.pretrain)):
            raise ValueError("give start_from or pretrain, not both")
        self._require_different_names()
        if not self.trained_on():
            raise ValueError("no collection is left to train on")
        name = self.model.get("architecture")
        options = get_architecture(str(name)).options
        wrong = sorted(key for key in self.model if key not in (*options, "architecture"))
        if wrong:
            raise ValueError(f"{name} has no option {', '.join(wrong)}; it has {', '.join(options)}")
        return self

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
                raise ValueError(f"{label}: {', '.join(twice)} stands twice")
        for options in texts.values():
            concepts = [text_feature_name(option) for option in options if option.kind == "concepts"]
            if any(name != self.model.get("concepts") for name in concepts):
                raise ValueError("concepts are labels, not a text feature: name them in the model's `concepts`")

    @property
    def architecture(self) -> str:
        """Name of the model."""
        return str(self.model["architecture"])

    def trained_on(self) -> list[str]:
        """Names of the collections of the (last) training."""
        if self.train is not None:
            return self.train
        others = {*self.pretrain, self.validation.collection}
        if self.grid:
            others |= {name for names in self.grid.pretrain.values() for name in names}
        return [name for name in self.collections if name not in others]
