"""The retrieval models that can be trained, by name: their options, and their making from a saved config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from torch import nn

from avs.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where a model and its config are.

    Attributes:
        module: of avs.models.
        config: name of the frozen dataclass with its options and the features it takes.
        model: name of the nn.Module.
        inputs: fields of the config that follow from the data and are no options.
    """

    module: str
    config: str
    model: str
    inputs: tuple[str, ...]

    @property
    def config_class(self) -> type[Any]:
        found: type[Any] = getattr(import_module(f"avs.models.{self.module}"), self.config)
        return found

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what a user may set."""
        return tuple(field.name for field in fields(self.config_class) if field.name not in self.inputs)


ARCHITECTURES = {
    "laff": Architecture("laff", "LaffConfig", "LaffModel", ("video", "video_frames", "text", "text_tokens")),
    "dual-encoding": Architecture(
        "dual_encoding", "DualEncodingConfig", "DualEncodingModel", ("video", "video_frames", "text", "text_tokens")
    ),
}


def get_architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(
            f'unknown architecture "{name}"{did_you_mean(name, ARCHITECTURES)}', wanted=", ".join(ARCHITECTURES)
        )
    return ARCHITECTURES[name]


def make_config(name: str, settings: Mapping[str, Any]) -> Any:
    """A config from plain values, such as a YAML or JSON file holds.

    Raises:
        ConfigError: an unknown option, or a value it does not take; all of them at once.
    """
    from pydantic import TypeAdapter, ValidationError

    architecture = get_architecture(name)
    known = (*architecture.options, *architecture.inputs)
    unknown = [f"unknown option {key}{did_you_mean(key, architecture.options)}" for key in settings if key not in known]
    try:
        config = TypeAdapter(architecture.config_class).validate_python(dict(settings))
    except ValidationError as error:
        unknown += [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
    if unknown:
        raise ConfigError(
            f"options of {name} that cannot be used", got="; ".join(unknown), wanted=", ".join(architecture.options)
        )
    return config


def config_to_json(config: Any) -> dict[str, Any]:
    """Plain values from which make_config makes the same config."""
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(config)).dump_python(config, mode="json")
    return plain


def make_model(name: str, config: Any) -> nn.Module:
    """The model of a config, with fresh weights from torch's random state."""
    architecture = get_architecture(name)
    model: nn.Module = getattr(import_module(f"avs.models.{architecture.module}"), architecture.model)(config)
    return model
