"""A real Ray cluster for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ray_nodes import two_nodes


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with two_nodes() as cluster:
        yield cluster
