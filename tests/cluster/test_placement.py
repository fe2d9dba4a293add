"""Where actors go: a place for each, or a refusal with numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_ray import node
from hypothesis import given
from hypothesis import strategies as st

from avs.cluster.placement import OWN_CPUS, ClusterRequest, NodeRoom, place_actors
from avs.core.errors import ConfigError, MissingDependencyError


def placed(nodes: list[NodeRoom], **request: object) -> list[tuple[str, int, float]]:
    return [(one.name, one.workers, one.cpus) for one in place_actors(nodes, ClusterRequest(**request))]  # type: ignore


def test_without_a_number_each_node_has_an_actor_with_a_decoder_for_each_cpu_but_one() -> None:
    assert placed([node(1, 8), node(2, 2), node(3, 1)]) == [("node1", 7, 7.5), ("node2", 1, 1.5), ("node3", 0, 0.5)]
    assert placed([node(1, 8), node(2, 8, free=0.25)]) == [("node1", 7, 7.5)]  # one that is full has none


def test_on_cuda_each_free_gpu_has_an_actor() -> None:
    nodes = [node(1, 16, gpus=4), node(2, 64), replace(node(3, 8, gpus=2), free_gpus=1.0)]
    places = place_actors(nodes, ClusterRequest("cuda"))
    assert [(one.node.host, one.workers, one.gpus) for one in places] == [("node1", 3, 1)] * 4 + [("node3", 7, 1)]
    assert [one.name for one in places][:3] == ["node1", "node1 (2)", "node1 (3)"]
    with pytest.raises(MissingDependencyError, match="the Ray cluster has no GPU") as caught:
        place_actors([node(1), node(2)], ClusterRequest("cuda"))
    assert "node1: 2 of 2 CPUs free; node2" in str(caught.value)


def test_actors_are_spread() -> None:
    assert placed([node(1, 4), node(2, 4)], actors=3) == [("node1", 1, 1.5), ("node1 (2)", 1, 1.5), ("node2", 3, 3.5)]
    assert placed([node(1, 16), node(2, 2)], actors=2, workers=1) == [("node1", 1, 1.5), ("node1 (2)", 1, 1.5)]


def test_nodes_of_one_machine_have_names_of_their_own() -> None:
    same = [node(1), replace(node(1), id="other")]
    assert [name for name, _, _ in placed(same, actors=4, workers=0)] == [
        "node1",
        "node1 (2)",
        "node1 (3)",
        "node1 (4)",
    ]


def test_actors_that_would_hold_every_cpu_are_refused_with_numbers() -> None:
    with pytest.raises(ConfigError) as caught:
        place_actors([node(1, 2), node(2, 4, free=2.5)], ClusterRequest(actors=2, workers=2))
    assert str(caught.value) == (
        "the Ray cluster has no room for 2 actors of 2.5 CPUs each\n"
        "  node1: 2 of 2 CPUs free: room for 0\n"
        "  node2: 2.5 of 4 CPUs free: room for 1\n"
        "  next:   --actors 1; or fewer --workers, which are those of each actor; or wait until others have ended "
        "(`ray status` shows what is free); or start Ray on more machines"
    )
    with pytest.raises(ConfigError, match="no room for an actor of 0.5 CPUs\n  node1: 0 of 2 CPUs free: room for 0"):
        place_actors([node(1, free=0)], ClusterRequest())
    with pytest.raises(ConfigError, match="0.5 CPUs and 1 GPU\n  node1: 4 of 4 CPUs and 0 of 2 GPUs free: room for 0"):
        place_actors([replace(node(1, 4, gpus=2), free_gpus=0)], ClusterRequest("cuda"))


cpus = st.integers(0, 300_000).map(lambda parts: parts / 10_000)  # as Ray counts them


@given(
    st.lists(st.tuples(cpus, st.integers(0, 4)), min_size=1, max_size=5),
    st.sampled_from(["cpu", "cuda"]),
    st.none() | st.integers(1, 12),
    st.none() | st.integers(0, 4),
)
def test_what_is_placed_fits(
    free: list[tuple[float, int]], device: str, actors: int | None, workers: int | None
) -> None:
    nodes = [node(number, one, gpus=gpus) for number, (one, gpus) in enumerate(free)]
    try:
        places = place_actors(nodes, ClusterRequest(device, actors, workers))
    except (ConfigError, MissingDependencyError):
        least = OWN_CPUS + (workers or 0)
        fit = [min(int(one / least + 1e-9), gpus if device == "cuda" else 1000) for one, gpus in free]
        assert sum(fit) < (actors or 1)
        return
    assert len(places) == (actors or len(places)) > 0 and len({place.name for place in places}) == len(places)
    for one in nodes:
        here = [place for place in places if place.node is one]
        assert sum(place.cpus for place in here) <= one.free_cpus + 1e-9
        assert sum(place.gpus for place in here) <= one.free_gpus
    assert workers is None or {place.workers for place in places} == {workers}
