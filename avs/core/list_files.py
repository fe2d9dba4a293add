"""Ranked lists as files: what they are called, and what the manifests beside them tell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from avs.core.artifacts import manifest_path, read_manifest

SUFFIXES = (".trec", ".xml", ".txt", ".run")


def list_name(file: Path) -> str:
    """The name of a list: its file name without .trec, .xml, .txt or .run; any other ending is part of the name."""
    return file.stem if file.suffix in SUFFIXES else file.name


def is_trained_model(folder: Path) -> bool:
    """Whether a folder is a checkpoint, or a training with its best one, finished or not."""
    return (folder / "checkpoint.json").is_file() or (folder / "best").is_dir()


def model_name(folder: Path) -> str:
    """What the lists of a checkpoint are called: those of models/laff and models/laff/best "laff"."""
    folder = folder.resolve()
    if folder.name == "best":
        return folder.parent.name
    return f"{folder.parent.name}-average" if folder.name == "average" else folder.name


def store_name(folder: Path) -> str:
    """What the zero-shot lists of a store are called: those of features/clip/shot "clip-shot"."""
    folder = folder.resolve()
    return f"{folder.parent.name}-{folder.name}"


def fused_before(files: Sequence[Path]) -> dict[Path, set[str]]:
    """Those lists that are fused themselves -> the topics that their fuser learned from."""
    learned_from = {}
    for file in files:
        manifest = read_manifest(file) if manifest_path(file).is_file() else {}
        fusion = (manifest.get("config") or {}).get("fusion")
        if fusion is not None:
            learned_from[file] = set(fusion.get("learned_from", ()))
    return learned_from


def seconds_of_search(files: Sequence[Path]) -> float:
    """Wall time in seconds of the searches that made the lists; 0 when that of any list is unknown.

    A search that made several of the lists counts once.
    """
    searches: dict[tuple[object, float], float] = {}
    for file in files:
        manifest = read_manifest(file) if manifest_path(file).is_file() else {}
        seconds = manifest.get("seconds", 0.0)
        if not seconds:
            return 0.0
        searches[manifest.get("command"), seconds] = seconds
    return sum(searches.values())
