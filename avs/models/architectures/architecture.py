"""An architecture: its config, its verb and its authors' settings. And how its models are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

from avs.core.errors import ConfigError, did_you_mean
from avs.core.registry import Registry
from avs.models.architectures.footprint import Footprint

if TYPE_CHECKING:
    from avs.models.retrieval import RetrievalModel

INPUTS = ("video", "video_frames", "text", "text_tokens")
"""Fields of a config that follow from the data: name -> dimension of video-level, frame-level and text features, and
name -> Tokens. A config lacks those that its model does not read."""

Direction = Literal["t2v", "v2t", "both"]
Reduction = Literal["sum", "mean"]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A recurrent encoder of words.

    Attributes:
        words: size of the vocabulary.
        embedding: dimension of a word.
        hidden: dimension of the GRU's state, in each direction.
        bidirectional: biGRU, whose two directions are concatenated.
    """

    words: int
    embedding: int = 500
    hidden: int = 1024
    bidirectional: bool = False

    @property
    def dim(self) -> int:
        """Length of a text's vector."""
        return self.hidden * (2 if self.bidirectional else 1)


def option(default: Any, help: str) -> Any:
    """A field of a config that is an option of the architecture's verb too.

    Args:
        help: one sentence for `avs train-NAME --help`.
    """
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Architecture:
    """A retrieval model that can be trained, as `avs train-NAME`.

    Attributes:
        config: frozen dataclass with the features the model takes (INPUTS) and its options.
        build: the model of a config, with fresh weights from torch's random state. It imports torch; the file that
            declares the architecture should not, so that `avs --help` stays fast.
        summary: one line for `avs --help`.
        description: for `avs train-NAME --help`.
        examples: command lines, one per line.
        recipe: section of a recipe -> values of the authors, where they differ from LAFF's.
        bag_of_words: whether bag of words is a text feature unless the recipe names others; without it, only the text
            towers of the video features are.
        backbone: whether its models start from a pretrained CLIP, which the recipe's option `backbone` names.
        every_feature: whether with some options a training video must have all features; otherwise the model does
            without some.
        taught: whether with some options a model learns from teachers, which the recipe then names.
        footprint: what a model of a config keeps and computes for a search; None: it does not say.
        teaches: whether its models can be teachers: they have `logits` and `frame_relevance`.
    """

    config: type[Any]
    build: Callable[[Any], RetrievalModel]
    summary: str
    description: str
    examples: str
    recipe: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    bag_of_words: bool = True
    backbone: bool = False
    every_feature: Callable[[Mapping[str, Any]], bool] = lambda options: False
    taught: Callable[[Mapping[str, Any]], bool] = lambda options: False
    footprint: Callable[[Any], Footprint] | None = None
    teaches: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the fields that follow from the data."""
        return tuple(each.name for each in fields(self.config) if each.name in INPUTS)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what a recipe may set."""
        return tuple(each.name for each in fields(self.config) if each.name not in INPUTS)

    @property
    def verb_options(self) -> tuple[Field[Any], ...]:
        """The fields of `config` that are options of the verb."""
        return tuple(each for each in fields(self.config) if "help" in each.metadata)


architectures: Registry[Architecture] = Registry("architecture")


def make_config(name: str, settings: Mapping[str, Any]) -> Any:
    """A config from plain values, such as a YAML or JSON file holds.

    Raises:
        ConfigError: an unknown option, or a value it does not take; all of them at once.
    """
    from pydantic import TypeAdapter, ValidationError

    architecture = architectures.get(name)
    known = (*architecture.options, *architecture.inputs)
    problems = [
        f"unknown option {key}{did_you_mean(key, architecture.options)}" for key in settings if key not in known
    ]
    try:
        config = TypeAdapter(architecture.config).validate_python(dict(settings))
    except ValidationError as error:
        problems += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
    if problems:
        raise ConfigError(
            f"options of {name} that cannot be used", got="; ".join(problems), wanted=", ".join(architecture.options)
        )
    return config


def config_to_json(config: Any) -> dict[str, Any]:
    """Plain values from which make_config makes the same config."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def make_model(name: str, config: Any) -> RetrievalModel:
    """The model of a config, with fresh weights from torch's random state."""
    return architectures.get(name).build(config)
