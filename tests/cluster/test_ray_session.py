"""The connection to a cluster: what is refused before Ray is asked, and what of Ray's words the user sees."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fake_ray import node

from avs.cluster.placement import ClusterRequest
from avs.cluster.ray_session import ActorLostError, RaySession, ray_session
from avs.core.errors import AvsError, ConfigError, MissingDependencyError


class FakeRay(ModuleType):
    """As much of Ray as a connection needs."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__("ray")
        self.calls: list[Any] = []
        self.refusal = refusal
        self._private = SimpleNamespace(worker=SimpleNamespace())
        self.exceptions = SimpleNamespace(RayError=LookupError)

    def init(self, **how: Any) -> None:
        self.calls.append(how)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray does, with a handler of its own
        if self.refusal:
            raise self.refusal

    def is_initialized(self) -> bool:
        return False

    def shutdown(self) -> None:
        self.calls.append("shutdown")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return ray


@pytest.mark.parametrize("found", [None, ModuleType("ray")], ids=["nothing", "a folder of this name"])
def test_without_ray_the_line_of_pip_is_told(found: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", found)
    with pytest.raises(MissingDependencyError, match="which is not installed") as caught, ray_session():
        pass
    assert "pip install 'avs[ray]'" in str(caught.value)


def test_ray_is_told_to_be_quiet_and_sigterm_stays_as_it_was(ray: FakeRay) -> None:
    before: Callable[..., Any] | int | None = signal.getsignal(signal.SIGTERM)
    with ray_session() as session:
        assert session.ray is ray and signal.getsignal(signal.SIGTERM) is before
    (how, end) = ray.calls
    assert how["address"] == "auto" and how["log_to_driver"] is False and end == "shutdown"
    assert ray._private.worker._worker_logs_enabled is False


def test_a_connection_that_is_there_stays(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with ray_session():
        pass
    assert ray.calls == []


@pytest.mark.parametrize(
    ("refusal", "error", "words"),
    [
        (ConnectionError("Could not find any"), MissingDependencyError, "`ray start --head` on one machine"),
        (RuntimeError("Version mismatch: The cluster\n was"), ConfigError, "Version mismatch: The cluster was"),
        (RuntimeError("else"), AvsError, "Ray refused the connection"),
    ],
)
def test_what_ray_refuses_is_told(ray: FakeRay, refusal: Exception, error: type[AvsError], words: str) -> None:
    ray.refusal, before = refusal, signal.getsignal(signal.SIGTERM)
    with pytest.raises(error) as caught, ray_session():
        pass
    assert words in str(caught.value) and signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("address", ["nonsense", "ray://10.0.0.1:10001", ":6379", "host:port"])
def test_an_address_that_is_none_is_refused(ray: FakeRay, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match="RAY_ADDRESS is not the address of a cluster"), ray_session():
        pass
    assert ray.calls == []


def test_nobody_waits_minutes_for_a_cluster_that_is_gone(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free.getsockname()[1]}")
        with pytest.raises(MissingDependencyError, match="no Ray cluster answers"), ray_session():
            pass
    assert ray.calls == []


def test_what_others_have_just_given_back_is_waited_for(ray: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    session, waited = RaySession(ray), []
    looks = iter([[node(1, 4, free=0.25)], [node(1, 4)]])
    monkeypatch.setattr(session, "nodes", lambda: next(looks))
    monkeypatch.setattr(time, "sleep", waited.append)
    assert [place.cpus for place in session.places(ClusterRequest(workers=3))] == [3.5] and len(waited) == 1
    monkeypatch.setattr(session, "nodes", lambda: [node(1, 4, free=1)])
    with pytest.raises(ConfigError, match="node1: 4 of 4 CPUs free: room for 0"):
        session.places(ClusterRequest(workers=4))  # which would never fit
    assert len(waited) == 1
    monkeypatch.setattr("avs.cluster.ray_session.GIVEN_BACK_S", 0)
    with pytest.raises(ConfigError, match="node1: 1 of 4 CPUs free: room for 0"):
        session.places(ClusterRequest(workers=3))


@pytest.mark.parametrize(
    ("told", "how"),
    [
        (
            "The actor died unexpectedly before finishing\n The actor is dead because its node has died. Node Id: 4",
            "node",
        ),
        (
            "The actor died\n\tclass_name: X\nThe actor's worker process has died. Worker exit type: SYSTEM_ERROR",
            "killed",
        ),
        (
            "RuntimeError: The actor failed to import\nModuleNotFoundError: No module named 'avs'",
            "could not start (ModuleNotFoundError: No mod",
        ),
        ("\n  something new\n of ray", "was lost (something new)"),
    ],
)
def test_how_an_actor_was_lost_in_few_words(ray: FakeRay, told: str, how: str) -> None:
    ray.get = lambda answer: (_ for _ in ()).throw(LookupError(told))  # type: ignore[method-assign, attr-defined]
    with pytest.raises(ActorLostError) as caught:
        RaySession(ray).get(object())
    assert how in str(caught.value) and "\n" not in str(caught.value)
