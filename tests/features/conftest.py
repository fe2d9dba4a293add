from __future__ import annotations

from pathlib import Path

import pytest
from tiny_checkpoints import make_blip, make_blip2, make_clip


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny checkpoints by family."""
    root = tmp_path_factory.mktemp("checkpoints")
    return {"clip": make_clip(root / "clip"), "blip": make_blip(root / "blip"), "blip2": make_blip2(root / "blip2")}
