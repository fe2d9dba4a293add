"""A search by actors, which are threads here: the lists of one search, whoever is lost, and errors as they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Barrier, Event
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch
from fake_ray import FakeSession, as_ray, node
from hypothesis import given
from hypothesis import strategies as st
from tiny_stores import shot_ids

from avs.cluster import search as search_module
from avs.cluster.placement import ClusterRequest
from avs.cluster.search import search_on_cluster
from avs.cluster.search_actor import SearchActor
from avs.core.errors import AvsError, ConfigError, DataError
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.ranking.blocks import Block, BlockSource
from avs.ranking.score import search

TOPICS = ("1", "2")


@dataclass(frozen=True)
class GivenRows:
    """Rows in memory."""

    vectors: np.ndarray
    offsets: None = None

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(shot_ids(len(self.vectors)))


@dataclass(frozen=True)
class FirstColumns:
    """Scores that stand in the rows."""

    name: str = "columns"
    features: tuple[str, ...] = ("rows",)
    fingerprint: str = ""

    def score(self, block: Block) -> tuple[torch.Tensor, None]:
        return block.features["rows"].rows.T.clone(), None


@dataclass(frozen=True)
class RowsOpening:
    """Opens rows in blocks of seven."""

    vectors: np.ndarray

    def __call__(self, device: str) -> tuple[Sequence[FirstColumns], BlockSource]:
        return [FirstColumns()], BlockSource({"rows": GivenRows(self.vectors)}, device=device, block_rows=7)


def rows(count: int = 100, seed: int = 0) -> np.ndarray:
    """(count, 2) scores with many ties."""
    return np.random.default_rng(seed).integers(0, 5, (count, 2)).astype(np.float32)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    session = FakeSession([node(1), node(2)])
    monkeypatch.setattr(search_module, "ray_session", as_ray(session))
    return session


def found(vectors: np.ndarray, *, k: int = 10, opening: Any = None, **more: Any) -> list[RankedList]:
    ids = shot_ids(len(vectors))
    return search_on_cluster(
        opening or RowsOpening(vectors), ["columns"], TOPICS, ids, k=k, request=ClusterRequest(),
        threads=torch.get_num_threads(), **more,
    )["columns"]  # fmt: skip


def wanted(vectors: np.ndarray, k: int = 10) -> list[RankedList]:
    scorers, source = RowsOpening(vectors)("cpu")
    return search(scorers, TOPICS, source, k=k)["columns"]


def told(lists: list[RankedList]) -> list[tuple[Any, ...]]:
    return [(one.topic, tuple(one.shots), np.asarray(one.scores).tobytes()) for one in lists]


@given(st.integers(0, 90), st.integers(1, 30), st.integers(1, 3), st.integers(0, 5))
def test_the_lists_are_those_of_one_search(count: int, k: int, nodes: int, seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "ray_session", as_ray(FakeSession([node(number) for number in range(nodes)])))
        assert told(found(rows(count, seed), k=k)) == told(wanted(rows(count, seed), k))


def lose(monkeypatch: pytest.MonkeyPatch, session: FakeSession, *numbers: int) -> None:
    """Have actors be lost when they are to search; others search when one is lost."""
    original, one_is_lost = SearchActor.search, Event()

    def searching(self: SearchActor, first: int, stop: int) -> Any:
        actor = next(one for one in session.started if one.actor is self)
        if session.started.index(actor) in numbers:
            actor.lose("was lost with its node")
            one_is_lost.set()
        one_is_lost.wait()
        return original(self, first, stop)

    monkeypatch.setattr(SearchActor, "search", searching)


def test_others_do_the_shots_of_a_lost_actor(
    session: FakeSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lose(monkeypatch, session, 1)
    assert told(found(rows(), k=100)) == told(wanted(rows(), k=100))
    assert all(actor.lost for actor in session.started)
    lose(monkeypatch, session, 2, 3)  # of the next two
    with pytest.raises(AvsError, match="all actors were lost before the search was done"):
        found(rows())
    assert "the process on node1 was lost with its node; its shots are for the others" in caplog.text


def test_a_node_that_is_refused_leaves_the_search_to_others(
    session: FakeSession, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, refused = SearchActor._opened, Event()

    def opened(self: SearchActor, *arguments: Any) -> list[int]:
        if self in [session.started[number].actor for number in (0, 2, 3) if number < len(session.started)]:
            refused.set()
            raise ConfigError("other versions")
        refused.wait()
        return original(self, *arguments)

    monkeypatch.setattr(SearchActor, "_opened", opened)
    assert told(found(rows())) == told(wanted(rows()))
    assert "the process on node1 ended with an error: other versions" in caplog.text
    with pytest.raises(ConfigError, match="other versions"):
        found(rows())


def test_the_first_shot_whose_score_is_not_finite_is_named(session: FakeSession) -> None:
    vectors = rows()
    vectors[[30, 71, 98], 1] = np.nan
    with pytest.raises(DataError) as one:
        wanted(vectors)
    with pytest.raises(DataError) as other:
        found(vectors)
    assert str(one.value) == str(other.value) and shot_ids(100)[30] in str(one.value)


def test_actors_have_the_threads_of_the_command(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    given_threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", given_threads.append)
    found(rows())
    assert set(given_threads) == {torch.get_num_threads()}


def test_an_error_that_nobody_expects_is_told(session: FakeSession) -> None:
    with pytest.raises(AvsError, match="an actor ended with TypeError"):
        found(rows(), opening=3)


def test_progress_counts_shots_and_those_that_wait_are_named(
    session: FakeSession, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    session.silent = 1
    found(rows(), reporter=Reporter(quiet=False))
    assert "progress: search columns 100/100 shots" in capsys.readouterr().err
    assert "the process on node2 has not begun; it needs 1.5 CPUs, of 2 of 2 CPUs free" in caplog.text


def test_nodes_that_cut_other_blocks_are_refused(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    original, search, both = SearchActor._opened, SearchActor.search, Barrier(2)

    def opened(self: SearchActor, *arguments: Any) -> list[int]:
        borders = original(self, *arguments)
        both.wait()
        return borders if self is session.started[0].actor else [0, borders[-1]]

    def slow(self: SearchActor, first: int, stop: int) -> Any:
        sleep(0.05)
        return search(self, first, stop)

    monkeypatch.setattr(SearchActor, "_opened", opened)
    monkeypatch.setattr(SearchActor, "search", slow)
    with pytest.raises(AvsError, match="blocks of different shots"):
        found(rows())
