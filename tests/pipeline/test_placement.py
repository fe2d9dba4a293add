from __future__ import annotations

import pytest

from avs.core.device import available_cores
from avs.core.errors import ConfigError
from avs.core.torchrun import Rank
from avs.pipeline.placement import DevicePlacement, place

ALONE, SECOND = Rank(), Rank(number=3, count=4, local=1, local_count=2)


def test_options_say_where_it_runs() -> None:
    assert place(None, None, rank=ALONE) == DevicePlacement("cpu", (), None, True)
    assert place("cuda:1", None, workers=3, rank=ALONE) == DevicePlacement("cuda:1", (), 3, True)
    assert place(None, "cpu, cpu", workers=4, force=True, rank=ALONE) == DevicePlacement("cpu", ("cpu", "cpu"), 4, True)
    with pytest.raises(ConfigError, match="it names none"):
        place(None, " ,", rank=ALONE)


def test_torchrun_says_where_it_runs() -> None:
    cores = max(1, available_cores() // 2)
    assert place("cuda", None, rank=SECOND) == DevicePlacement("cuda:1", (), cores, False)
    assert place("cpu", None, workers=5, rank=SECOND) == DevicePlacement("cpu", (), 5, False)
    assert place(None, None, rank=Rank(0, 4, 0, 2)).speaks
    assert place(None, None, rank=Rank(1, 2, 0, 1)).workers is None


def test_options_that_do_not_fit_are_told_all_at_once() -> None:
    with pytest.raises(ConfigError, match="it replaces --device"):
        place("cpu", "cpu,cpu", rank=ALONE)
    with pytest.raises(ConfigError) as caught:
        place("cpu", "cpu,cpu", force=True, rank=SECOND)
    assert all(
        words in str(caught.value) for words in ("3 problems", "torchrun has started", "--force: all 4 processes")
    )


def test_the_rank_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert place("cuda", None).device == "cuda:1" and not place("cpu", None).speaks
