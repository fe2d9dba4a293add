"""Extraction by actors, which are threads here: what is lost is done by others, and errors arrive as they were."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fake_frames import FakeFrames
from fake_ray import FakeSession, as_ray, node
from toy_plans import SHOTS, content, given, made_by_one, plans

from avs.cluster import extraction
from avs.cluster.extraction import make_stores_on_cluster
from avs.cluster.extraction_actor import ExtractionActor
from avs.cluster.placement import ClusterRequest
from avs.core.errors import AvsError, ConfigError, VideoError
from avs.core.leases import Owner, take_back
from avs.core.process_marks import this_process
from avs.core.store import FeatureStore
from avs.features.claims import Shard


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = FakeSession([node(1), node(2)])
    monkeypatch.setattr(extraction, "ray_session", as_ray(session))
    return session


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return made_by_one(tmp_path_factory.mktemp("whole"))


def made(folder: Path, source: FakeFrames | None = None, **more: Any) -> list[Any]:
    more = {"request": ClusterRequest(workers=0), "files": {}, "batch_size": 2, **more}
    return make_stores_on_cluster(plans(folder), SHOTS, partial(given, source or FakeFrames()), **more)


def lose(number: int, session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have actor `number` be lost as it begins, when it has said which process it is."""
    begin = ExtractionActor.begin

    def begun(self: ExtractionActor, *arguments: Any) -> None:
        actor = session.started[number]
        if self is actor.actor:
            self._line.put(this_process())
            actor.lose("was lost with its node")
        else:
            begin(self, *arguments)

    monkeypatch.setattr(ExtractionActor, "begin", begun)


@pytest.mark.parametrize("shard", [None, Shard(0, 1)])
def test_actors_make_what_one_process_makes(
    session: FakeSession, tmp_path: Path, whole: dict[str, bytes], shard: Shard | None, caplog: Any
) -> None:
    stores = made(tmp_path, shard=shard)
    assert all(isinstance(store, FeatureStore) for store in stores) and content(tmp_path) == whole
    assert [actor.place.name for actor in session.started] == ["node1", "node2"] and caplog.records == []
    assert all(actor.lost for actor in session.started)  # ended when the work is done
    assert [one.folder for one in made(tmp_path)] == [one.folder for one in stores] and len(session.started) == 2


def test_what_a_lost_actor_leaves_is_done(
    session: FakeSession, tmp_path: Path, whole: dict[str, bytes], monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lose(0, session, monkeypatch)
    made(tmp_path)
    assert content(tmp_path) == whole
    assert "the process on node1 was lost with its node; its jobs are free for others" in caplog.text


def test_of_a_shard_one_more_actor_does_what_a_lost_one_leaves(
    session: FakeSession, tmp_path: Path, whole: dict[str, bytes], monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lose(0, session, monkeypatch)
    made(tmp_path, shard=Shard(0, 1))
    assert content(tmp_path) == whole and [actor.place.name for actor in session.started] == ["node1", "node2", "node2"]
    assert "one more on cpu does its jobs" in caplog.text


def test_when_all_are_lost_it_is_told(session: FakeSession, tmp_path: Path, monkeypatch: Any) -> None:
    session.rooms = [node(1)]
    lose(0, session, monkeypatch)
    with pytest.raises(AvsError, match="all processes have ended before their work was done") as caught:
        made(tmp_path)
    assert caught.value.got == "the one on node1 was lost with its node"


def test_an_error_of_all_arrives_as_it_was(
    session: FakeSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session.rooms = [node(1)]
    with pytest.raises(VideoError) as caught:
        made(tmp_path, FakeFrames(broken="shot00010_5"))
    assert str(caught.value) == "the video broke\n  where:  shot00010_5" and caplog.records == []
    assert not list(tmp_path.glob("toy/*/parts/owners/*"))


def test_an_error_that_nobody_expects_is_told_too(session: FakeSession, tmp_path: Path) -> None:
    with pytest.raises(AvsError, match="all processes have ended") as died:
        made(tmp_path, replace(FakeFrames(), failed=7))  # type: ignore[arg-type]
    assert "ended with TypeError: argument of type 'int' is not iterable" in str(died.value.got)


def test_a_node_that_does_not_see_the_videos_is_refused(session: FakeSession, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not see what the command sees"):
        made(tmp_path, files={tmp_path / "video.mp4": 7})
    assert not list(tmp_path.rglob("*.part"))


def test_an_interrupted_command_ends_actors_and_takes_their_leases_back(
    session: FakeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Path] = []
    monkeypatch.setattr(extraction, "take_back", lambda folder, mark: taken.append(folder))

    def interrupt(told: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(extraction.JointProgress, "take", lambda self, process, told: interrupt(told))
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path)
    assert all(actor.lost for actor in session.started)
    assert {plan.folder / "parts" for plan in plans(tmp_path)} == set(taken)


def test_actors_that_wait_are_named(session: FakeSession, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    session.silent = 1
    made(tmp_path)
    assert "the process on node1 has not begun; it needs 0.5 CPUs, of 2 of 2 CPUs free" in caplog.text


def test_warnings_of_actors_are_told_with_their_names(
    session: FakeSession, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., Any] = ExtractionActor._made

    def warns(self: ExtractionActor, *arguments: Any) -> Any:
        logging.getLogger("avs.features").warning("something odd")
        return original(self, *arguments)

    monkeypatch.setattr(ExtractionActor, "_made", warns)
    session.rooms = [node(1)]
    made(tmp_path)
    assert "node1: something odd" in [record.getMessage() for record in caplog.records]


def test_leases_are_taken_back_of_one_process_alone(tmp_path: Path) -> None:
    with Owner() as one, Owner() as other:
        one.process = replace(one.process, machine="another", pid=4711)  # whose death nobody here can see
        leases, others = one.sign(tmp_path), other.sign(tmp_path)
        assert leases.claim("1") and others.claim("2") and not others.claim("1")
        take_back(tmp_path, replace(one.process, pid=4712))
        assert not others.claim("1")
        take_back(tmp_path, one.process)
        assert others.claim("1") and others.holds("2")
        assert [json.loads(file.read_text()) for file in (tmp_path / "owners").glob("[!.]*")] == [asdict(other.process)]
