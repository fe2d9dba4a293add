"""A Ray cluster of this machine, for tests: two nodes of two CPUs, which need little memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from processes import left_over

STORE_BYTES = 100 * 2**20
ROOT = Path(__file__).resolve().parents[1]
SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 2}


@contextmanager
def two_nodes(**of_each: Any) -> Iterator[Any]:
    """A cluster whose address is in the environment, as a user would give it. The command is on the first node."""
    from ray.cluster_utils import Cluster

    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    options = {"num_cpus": 2, "object_store_memory": STORE_BYTES, **of_each}
    with patch.dict(os.environ, {"PYTHONPATH": paths, "RAY_USAGE_STATS_ENABLED": "0"}):
        cluster = Cluster(
            initialize_head=True, head_node_args={**options, "include_dashboard": False, "_system_config": SOON}
        )
        try:
            cluster.add_node(**options)
            cluster.wait_for_nodes()
            with patch.dict(os.environ, {"RAY_ADDRESS": cluster.address}):
                yield cluster
        finally:
            cluster.shutdown()
            while left_over(
                f"AVS_TESTS={os.environ['AVS_TESTS']}"
            ):  # workers see a moment later that their node is gone
                time.sleep(0.05)
