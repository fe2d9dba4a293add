"""Extraction by actors of a real Ray cluster: the bytes are those of one process, whoever is lost."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_frames import FakeFrames, HeldFrames
from toy_plans import SHOTS, content, given, made_by_one, meanwhile, plans, until

from avs.cluster.extraction import make_stores_on_cluster
from avs.cluster.placement import ClusterRequest
from avs.core.store import FeatureStore

pytest.importorskip("ray", reason="needs Ray: pip install 'avs[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # Ray warns of what it will change
ONE_EACH = ClusterRequest(workers=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return made_by_one(tmp_path_factory.mktemp("whole"))


def made(folder: Path, source: FakeFrames, request: ClusterRequest = ONE_EACH, **more: Any) -> list[Any]:
    return make_stores_on_cluster(
        plans(folder), SHOTS, partial(given, source), request=request, files={}, batch_size=2, **more
    )


def at_work(marks: tuple[Path, ...]) -> bool:
    return all(mark.with_suffix(".pid").exists() for mark in marks)


def test_two_nodes_make_what_one_process_makes(cluster: Any, tmp_path: Path, whole: dict[str, bytes]) -> None:
    go = tmp_path / "go", tmp_path / "also"
    source = HeldFrames(held={"shot00001_3": go[0], "shot00010_5": go[1]})

    def release() -> None:  # when both are at work
        until(lambda: at_work(go))
        for one in go:
            one.touch()

    with meanwhile(release):
        stores = made(tmp_path / "out", source)
    assert all(isinstance(store, FeatureStore) for store in stores) and content(tmp_path / "out") == whole
    assert len({one.with_suffix(".pid").read_text() for one in go} | {str(os.getpid())}) == 3


def test_another_actor_does_the_jobs_of_one_that_is_killed(
    cluster: Any, tmp_path: Path, whole: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    go = tmp_path / "go", tmp_path / "also"

    def murder() -> None:
        until(lambda: at_work(go))
        os.kill(int(go[0].with_suffix(".pid").read_text()), signal.SIGKILL)
        for one in go:
            one.touch()

    with meanwhile(murder):
        made(tmp_path / "out", HeldFrames(held={"shot00001_3": go[0], "shot00010_5": go[1]}))
    assert content(tmp_path / "out") == whole
    assert "was killed; its jobs are free for others" in caplog.text


def test_a_node_may_be_lost_midway(
    cluster: Any,
    tmp_path: Path,
    whole: dict[str, bytes],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    go, node = (tmp_path / "go", tmp_path / "also"), cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    cluster.remove_node(next(one for one in cluster.worker_nodes if one is not node))

    def lose() -> None:
        until(lambda: at_work(go))
        cluster.remove_node(node, allow_graceful=False)
        workers = [int(one.with_suffix(".pid").read_text()) for one in go]
        until(lambda: not all(Path(f"/proc/{pid}").exists() for pid in workers))
        for one in go:
            one.touch()

    with meanwhile(lose):
        made(tmp_path / "out", HeldFrames(held={"shot00001_3": go[0], "shot00010_5": go[1]}))
    assert content(tmp_path / "out") == whole
    assert "was lost with its node; its jobs are free for others" in caplog.text
    assert capfd.readouterr() == ("", "")  # of Ray nothing
