"""xinfAP as an objective that fusion and reranking maximise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.core.errors import DataError
from avs.core.objective import Objective, TopicObjective
from avs.core.qrels import Qrels
from avs.metrics.xinfap import PreparedTopic


def xinfap_objective(qrels: Qrels) -> Objective:
    """The objective that measures orders by xinfAP with these judgments.

    The objective raises DataError for a topic without judgments.
    """
    prepared: dict[str, PreparedTopic] = {}

    def objective(topic: str, shots: Sequence[str]) -> TopicObjective:
        if topic not in qrels.topics:
            raise DataError("a topic without judgments", where=f"topic {topic}")
        if topic not in prepared:
            prepared[topic] = PreparedTopic(qrels.topics[topic])
        pool, codes = prepared[topic], prepared[topic].codes(shots)
        return lambda order: np.asarray(pool.infap(codes[order]))

    return objective
