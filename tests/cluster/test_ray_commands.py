"""avs extract-features --cluster ray as it is typed: what it writes and says, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from processes import end_by, started, wait_until
from ray_nodes import STORE_BYTES
from toy_plans import until
from twelve_films import same, twelve_films, words

from avs.cli.main import main
from avs.cluster import node_check
from avs.cluster.placement import ClusterRequest
from avs.cluster.ray_session import ray_session
from avs.core.artifacts import installed_versions

pytest.importorskip("ray", reason="needs Ray: pip install 'avs[ray]'")
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # Ray warns of what it will change


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twelve_films(tmp_path_factory.mktemp("collection"))


def owners(output: Path) -> list[int]:
    """The processes that are at work on a store."""
    files = (output / "clip/shot/parts/owners").glob("[!.]*")
    return [json.loads(file.read_text())["pid"] for file in files]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_actors_with_decoders_make_the_store_and_the_summary_is_one(
    cluster: Any, collection: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collection)  # where relative paths begin, also on the nodes
    here = Path("..", collection.name)
    assert main(words(here, tmp_path, "--cluster", "ray", "--workers", "1", "--json")) == 0
    out, err = capfd.readouterr()
    (store,) = json.loads(out)["stores"]
    assert store["finished"] and same(collection, tmp_path)
    assert {process["workers"] for process in store["extraction"]["processes"]} == {1}
    assert "progress: extract clip 36/36 shots" in err and err.count("next: avs search") == 1
    assert "raylet" not in err and "INFO" not in err
    assert not list(tmp_path.rglob(".cluster-*"))
    assert "--cluster ray" in json.loads((tmp_path / "clip/shot/manifest.json").read_text())["command"]


def test_what_has_no_room_is_refused_with_numbers_before_videos_are_read(
    cluster: Any, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_ray = ("--cluster", "ray")
    assert main(words(collection, tmp_path, *on_ray, "--actors", 2, "--workers", 2)) == 2
    err = capsys.readouterr().err
    assert "no room for 2 actors of 2.5 CPUs each" in err and err.count("2 of 2 CPUs free: room for 0") == 2
    assert main(words(collection, tmp_path, *on_ray, "--device", "cuda")) == 3
    assert "the Ray cluster has no GPU" in (more := capsys.readouterr().err)
    assert "hash videos" not in err + more and not list(tmp_path.iterdir())


def test_a_gpu_that_torch_does_not_see_is_told(
    cluster: Any, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    node = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=STORE_BYTES)
    try:
        assert main(words(collection, tmp_path, "--cluster", "ray", "--device", "cuda")) == 3
        assert 'there is no CUDA device "cuda"' in capsys.readouterr().err
    finally:
        cluster.remove_node(node)


def test_a_cluster_of_another_version_of_ray_is_refused(
    cluster: Any, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray._private.utils

    monkeypatch.setattr(ray._private.utils, "compute_version_info", lambda: ("1.0", "3.11.7"))
    assert main(words(collection, tmp_path, "--cluster", "ray")) == 2
    err = capsys.readouterr().err
    assert "the cluster runs another version of Ray or of Python" in err and "Ray: 1.0" in err


def test_a_full_cluster_is_refused(
    cluster: Any, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from avs.cluster.ray_session import ray_session

    with ray_session() as session:

        @session.ray.remote(num_cpus=2)
        class Holder:
            def ping(self) -> None: ...

        held = [Holder.remote(), Holder.remote()]
        session.ray.get([one.ping.remote() for one in held])
        until(lambda: not any(node.free_cpus for node in session.nodes()))
        assert main(words(collection, tmp_path, "--cluster", "ray")) == 2
    err = capsys.readouterr().err
    assert err.count("0 of 2 CPUs free: room for 0") == 2 and "wait until others have ended" in err


def test_a_node_of_other_versions_is_refused(
    cluster: Any, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_check, "installed_versions", lambda: {**installed_versions(), "torch": "9.9"})
    assert main(words(collection, tmp_path, "--cluster", "ray")) == 2
    err = capsys.readouterr().err
    assert "processes of different versions cannot share the work" in err and "wanted: torch 9.9" in err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=str)
def test_no_actor_outlives_the_command_and_the_next_one_goes_on(
    cluster: Any, collection: Path, tmp_path: Path, how: signal.Signals
) -> None:
    arguments = words(collection, tmp_path, "--cluster", "ray", "--workers", 1)
    with started(["-m", "avs", *arguments], env={**os.environ, "PYTHONPATH": os.environ["PYTHONPATH"]}) as process:
        wait_until(lambda: len(owners(tmp_path)) == 2, process)
        actors = owners(tmp_path)
        ended, err = end_by(process, how)
    assert ended == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[how]
    until(lambda: all(gone(pid) for pid in actors))
    if how != signal.SIGKILL:
        assert "run the same command again to resume" in err and "Traceback" not in err and "raylet" not in err
        assert owners(tmp_path) == []  # so their jobs are free at once, also for other machines
    assert main([*arguments, "--quiet"]) == 0 and same(collection, tmp_path)


def test_threads_of_an_actor_wait_as_those_of_the_command(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Waiting:
        def policy(self) -> str | None:
            return os.environ.get("OMP_WAIT_POLICY")

    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    with ray_session() as session:
        actor = session.start(Waiting, session.places(ClusterRequest(workers=0))[0])
        assert session.get(actor.policy.remote()) == "passive"
        session.kill(actor)
