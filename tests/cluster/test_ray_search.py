"""avs search on a real Ray cluster: the bytes of one process, also when an actor is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_checkpoints import make_clip
from tiny_stores import make_store

from avs.cli.main import main
from avs.cluster.ray_session import RaySession
from avs.features.embedder import read_spec

pytest.importorskip("ray", reason="needs Ray: pip install 'avs[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # Ray warns of what it will change
SHOTS = 20_000  # ten blocks


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a tiny CLIP whose scores tie, topics, and the list of one process."""
    root = tmp_path_factory.mktemp("large")
    spec, rng = read_spec("clip", weights=make_clip(root / "weights")), np.random.default_rng(0)
    few = rng.normal(size=(500, spec.dim))
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    make_store(root / "clip/shot", few[rng.integers(0, 500, SHOTS)], spec=spec)
    (root / "topics.txt").write_text("901 a dog in the forest\n902 a house in the snow\n")
    assert main([*words(root), "-o", str(root / "clip.trec"), "--quiet"]) == 0
    return root


def words(root: Path) -> list[str]:
    return ["search", "--topics", str(root / "topics.txt"), "--store", str(root / "clip/shot")]


def test_two_nodes_find_what_one_process_finds(
    cluster: Any, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*words(root), "-o", str(tmp_path / "clip.trec"), "--cluster", "ray"]) == 0
    assert (tmp_path / "clip.trec").read_bytes() == (root / "clip.trec").read_bytes()
    out, err = capfd.readouterr()
    assert out == "" and "progress: search clip-shot 20000/20000 shots" in err and "raylet" not in err


def test_the_shots_of_a_killed_actor_are_searched_by_another(
    cluster: Any, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    get, victims = RaySession.get, []

    def killing(self: RaySession, answer: Any) -> Any:
        value = get(self, answer)
        if isinstance(value, list) and not victims:  # the first that has opened the store
            marks = [one for one in Path("/proc").glob("[0-9]*") if b"ray::SearchActor" in _words(one)]
            victims.append(min(int(one.name) for one in marks))
            os.kill(victims[0], signal.SIGKILL)
        return value

    monkeypatch.setattr(RaySession, "get", killing)
    assert main([*words(root), "-o", str(tmp_path / "clip.trec"), "--cluster", "ray", "--quiet"]) == 0
    assert (tmp_path / "clip.trec").read_bytes() == (root / "clip.trec").read_bytes()
    assert len(victims) == 1


def _words(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
