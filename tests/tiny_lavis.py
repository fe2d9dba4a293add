"""A fake environment of LAVIS, and weights for it that nobody reads: folders as `--backend lavis` takes them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from avs.features.lavis.environment import pins

SIZE, DIM = 32, 8
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
FACTS = {"dim": DIM, "takes": SIZE, "resize": "square", "interpolation": "bicubic", "mean": MEAN, "std": STD}
VERSIONS = {**{name: version for name, (_, version) in pins().items()}, "numpy": "1.26.4", "python": "3.11.7"}


def make_environment(folder: Path, *, wrong: dict[str, list[int]] | None = None, **how: Any) -> Path:
    """An environment whose Python is fake_lavis.py; `wrong` and `how` are in its docstring."""
    (folder / "bin").mkdir(parents=True)
    said = {"protocol": 1, "versions": VERSIONS, "facts": FACTS, "wrong": wrong or {}, **how}
    (folder / "how.json").write_text(json.dumps(said))
    python = folder / "bin/python"
    words = [sys.executable, str(Path(__file__).with_name("fake_lavis.py")), str(folder)]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    python.chmod(0o755)
    return folder


def counted(environment: Path, name: str) -> int:
    """Number of "starts" of a fake environment's workers, or of "messages" to them."""
    path = environment / name
    return path.stat().st_size if path.exists() else 0


def write_weights(folder: Path, *, dim: int = DIM, image_size: int = SIZE, **more: str) -> Path:
    """A folder of weights of one's own, without weights."""
    (folder / "bert-base-uncased").mkdir(parents=True)
    for name in ("vocab.txt", "config.json"):
        (folder / "bert-base-uncased" / name).write_text("{}\n")
    (folder / "weights.pth").write_bytes(b"weights")
    settings = {"weights": "weights.pth", "dim": dim, "image_size": image_size, **more}
    (folder / "lavis.yaml").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    return folder
