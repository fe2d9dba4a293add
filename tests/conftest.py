"""What all tests share: the optional folder of real data, and a random state no test can leak."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from processes import left_over, mark_children

# The same examples every time, and no deadline: a test must not fail because the machine is busy.
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("same")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """`shared("tv21/RUCMM.run")` is a file of the real data beside the repository; the test skips without it."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"needs the real data {name}, which lies in ../shared/data on some machines only")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left():
    mark = mark_children()
    yield
    assert left_over(mark) == []


@pytest.fixture(autouse=True)
def _same_random_state():
    random.seed(0)
    np.random.seed(0)
