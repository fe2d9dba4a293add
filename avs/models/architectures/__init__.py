"""The architectures that can be trained. None of this imports torch: a recipe is checked before it is needed.

A file of this folder declares one architecture and registers it, and is imported below. Nothing else in the package
knows an architecture by its name.
"""

from avs.models.architectures import (  # noqa: F401  each registers itself
    clip2video,
    clip4clip,
    dual_encoding,
    laff,
    teachclip,
    xclip,
)
from avs.models.architectures.architecture import (
    INPUTS,
    Architecture,
    Direction,
    Reduction,
    Tokens,
    architectures,
    config_to_json,
    make_config,
    make_model,
    option,
)

__all__ = [
    "INPUTS",
    "Architecture",
    "Direction",
    "Reduction",
    "Tokens",
    "architectures",
    "config_to_json",
    "make_config",
    "make_model",
    "option",
]
