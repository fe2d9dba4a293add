from __future__ import annotations

import pytest

from avs.core.device import require_devices
from avs.core.errors import AvsError, ConfigError, MissingDependencyError
from avs.core.torchrun import Rank, device_of_rank, rank_of_environment

LAUNCHED = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}


def two() -> int:
    return 2


def test_devices_of_several_processes() -> None:
    assert require_devices(["cuda", "cuda:1"], cuda_devices=two) == ["cuda:0", "cuda:1"]
    assert require_devices(["cpu", "cpu", "cuda:1"], cuda_devices=two) == ["cpu", "cpu", "cuda:1"]


@pytest.mark.parametrize(
    ("names", "kind", "said"),
    [
        ([], ConfigError, ["it names none"]),
        (["cuda", "cuda:0"], ConfigError, ["cuda:0: a GPU is named more than once"]),
        (["tpu", "cuda:3", "cuda:1", "cuda:1"], ConfigError, ['unknown device "tpu"', "cuda:3", "more than once"]),
        (["cuda:1", "cuda:2", "cuda:3"], MissingDependencyError, ["cuda:2", "cuda:3"]),
    ],
)
def test_devices_that_cannot_be_used_are_told_all_at_once(
    names: list[str], kind: type[AvsError], said: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        require_devices(names, cuda_devices=two)
    assert all(words in str(caught.value) for words in said) and type(caught.value) is kind
    assert "such as cuda:0,cuda:1" in str(caught.value.next_step)


def test_the_environment_of_torchrun_tells_the_rank() -> None:
    assert rank_of_environment({}) == rank_of_environment({"WORLD_SIZE": "1"}) == Rank()
    rank = rank_of_environment(LAUNCHED)
    assert (rank.number, rank.count, rank.local, rank.local_count, rank.first) == (5, 8, 1, 4, False)
    assert Rank().first


@pytest.mark.parametrize("change", [{"RANK": "8"}, {"LOCAL_RANK": "x"}, {"LOCAL_RANK": "4"}, {"LOCAL_WORLD_SIZE": "9"}])
def test_an_environment_that_does_not_make_sense_is_shown(change: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="but not which one this is") as caught:
        rank_of_environment(LAUNCHED | change)
    assert all(f"{name} {value}" in str(caught.value.got) for name, value in (LAUNCHED | change).items())
    with pytest.raises(ConfigError) as caught:
        rank_of_environment({"WORLD_SIZE": "2"})
    assert "LOCAL_RANK not set" in str(caught.value.got)


def test_each_process_of_a_machine_has_a_gpu() -> None:
    rank = rank_of_environment(LAUNCHED)
    assert device_of_rank("cuda", rank) == "cuda:1" and device_of_rank("cpu", rank) == "cpu"
    assert device_of_rank("cuda", Rank()) == "cuda" and device_of_rank("cuda:1", Rank(3, 4)) == "cuda:1"
    with pytest.raises(ConfigError, match="would use one GPU"):
        device_of_rank("cuda:1", rank)
