"""Features that others computed, in the formats in which they are shared. Each format is one file here."""

from __future__ import annotations

from pathlib import Path

from avs.core.artifacts import manifest_path, read_manifest, refuse_folder_above, require_path
from avs.core.errors import ConfigError, FormatError
from avs.core.store import STORE_TYPE

BIGFILE, CLIP_RETRIEVAL, NPZ = "bigfile", "clip-retrieval", "npz"
FORMATS = {BIGFILE: "feature.bin", CLIP_RETRIEVAL: "img_emb/img_emb_*.npy", NPZ: "*.npz"}  # format -> its files


def format_of(folder: Path, asked: str | None = None) -> str:
    """The format of a folder of features.

    Args:
        asked: the format that the user names; None: what its files show.

    Raises:
        ConfigError: no such folder or format; a store of avs; several formats.
        FormatError: files of none of them.
    """
    require_path(folder, what="folder of features")
    if not folder.is_dir():
        raise ConfigError("the features to import are a folder", where=folder, got="a file")
    if manifest_path(folder).is_file() and read_manifest(folder)["type"] == STORE_TYPE:
        raise ConfigError(
            "this is a feature store of avs already", where=folder, next_step="give it to --store of any verb as it is"
        )
    if asked is not None and asked not in FORMATS:
        raise ConfigError(f'no format "{asked}" of features', wanted=", ".join(FORMATS))
    there = [name for name, pattern in FORMATS.items() if next(folder.glob(pattern), None) is not None]
    if asked is None and len(there) > 1:
        raise ConfigError(
            "the folder holds features in several formats",
            where=folder,
            got=", ".join(there),
            next_step=f"say which one: --format {there[0]}",
        )
    if not there or (asked is not None and asked not in there):
        refuse_folder_above(folder, what="store")
        wanted = FORMATS if asked is None else {asked: FORMATS[asked]}
        raise FormatError(
            "no features that can be imported",
            where=folder,
            got=", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "an empty folder",
            wanted=" or ".join(f"{pattern} ({name})" for name, pattern in wanted.items()),
        )
    return asked or there[0]
