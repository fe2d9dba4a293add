"""The families of encoders, one a file. A file that is added here registers its family; nothing else is edited."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from avs.features.family import families

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")

__all__ = ["families"]
