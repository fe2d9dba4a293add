"""A collection of twelve films that a tiny CLIP encodes, the command that does so, and the store of one process."""

from __future__ import annotations

from pathlib import Path

from tiny_checkpoints import make_clip
from tiny_videos import write_collection

from avs.cli.main import main

NAMES = ("vectors.npy", "ids.txt", "problems.tsv", "videos.tsv")


def twelve_films(root: Path) -> Path:
    """The folder with videos/, shots.tsv, a tiny checkpoint, and the store of one process in whole/."""
    write_collection(root, films=12)
    make_clip(root / "clip")
    assert main([*words(root, root / "whole"), "--workers", "0", "--quiet"]) == 0
    return root


def words(collection: Path, output: Path, *more: object) -> list[str]:
    where = ["--videos", collection / "videos", "--shots", collection / "shots.tsv", "-o", output]
    model = ["--model", "clip", "--weights", collection / "clip", "--batch-size", 2]
    return [str(word) for word in ("extract-features", *where, *model, *more)]


def same(collection: Path, output: Path) -> bool:
    one, other = collection / "whole/clip/shot", output / "clip/shot"
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in NAMES)
