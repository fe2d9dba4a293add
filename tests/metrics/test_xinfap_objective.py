from __future__ import annotations

import numpy as np
import pytest

from avs.core.errors import DataError
from avs.core.qrels import Qrels, TopicQrels
from avs.metrics.evaluation import Evaluator
from avs.metrics.measures import Measure
from avs.metrics.xinfap_objective import xinfap_objective

SHOTS = tuple(f"shot{i:05d}_1" for i in range(1500))


def sampled(topic: str, seed: int) -> TopicQrels:
    rng = np.random.default_rng(seed)
    strata = rng.integers(1, 4, 1200)
    judgments = rng.integers(0, 2, 1200)
    judgments[(strata == 3) & (rng.random(1200) > 0.2)] = -1
    return TopicQrels(topic, SHOTS[:1200], strata, judgments)


def test_an_order_is_worth_what_the_evaluation_says_of_the_list() -> None:
    qrels = Qrels({"661": sampled("661", 0), "662": sampled("662", 1)})
    objective, rng = xinfap_objective(qrels), np.random.default_rng(2)
    evaluator = Evaluator(qrels, measures=(Measure("infAP"),))
    for row, topic in enumerate(qrels.ids):
        candidates = [SHOTS[i] for i in rng.permutation(1500)[:1300]]
        measure = objective(topic, candidates)
        orders = np.array([rng.permutation(1300) for _ in range(4)])
        together = measure(orders)
        assert together.shape == (4,) and measure(orders.reshape(2, 2, 1300)).shape == (2, 2)
        for order, value in zip(orders, together, strict=True):
            shots = tuple(candidates[i] for i in order[:1000])
            columns = {topic: (shots, 9999.0 - np.arange(1000))}
            assert value == pytest.approx(float(measure(order)), rel=1e-12)
            assert value == pytest.approx(float(evaluator.evaluate(columns, "x").values[row, 0]), rel=1e-12)


def test_a_topic_without_judgments() -> None:
    with pytest.raises(DataError) as error:
        xinfap_objective(Qrels({}))("661", SHOTS)
    assert str(error.value) == "a topic without judgments\n  where:  topic 661"
