"""What the lists of a search are called: after the model that ranks, or the store that is ranked zero-shot."""

from __future__ import annotations

from pathlib import Path


def model_name(folder: Path) -> str:
    """What a checkpoint's lists are called: of models/laff and models/laff/best "laff"."""
    folder = folder.resolve()
    if folder.name == "best":
        return folder.parent.name
    return f"{folder.parent.name}-average" if folder.name == "average" else folder.name


def store_name(folder: Path) -> str:
    """What a store's zero-shot lists are called: of features/clip/shot "clip-shot"."""
    folder = folder.resolve()
    return f"{folder.parent.name}-{folder.name}"
