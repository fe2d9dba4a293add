"""What is learned from a stratified sample of judgments is what all judgments would have taught."""

from __future__ import annotations

import numpy as np
from sampled_judgments import LISTS, generate, sample, without_strata

from avs.core.qrels import Qrels
from avs.fusion.cross_validation import values
from avs.fusion.methods.ltr import Ltr, LtrSettings, learn_to_rank
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap_objective import xinfap_objective

SETTINGS = LtrSettings(trees=(25,), learning_rate=0.2, rows_in_leaf=20, feature_share=1.0)
SAMPLES = 5


def test_one_judgment_in_ten_of_the_deep_stratum_teaches_what_all_of_them_do() -> None:
    pools, full = generate([str(i) for i in range(20)], seed=0)
    held_out, truth = generate([str(i) for i in range(100, 130)], seed=1)

    def learn(qrels: Qrels) -> np.ndarray:
        ltr = learn_to_rank(pools, xinfap_objective(qrels), qrels=qrels, folds=(), settings=SETTINGS)
        return np.array(list(values(ltr, held_out, xinfap_objective(truth)).values()))  # by full judgments

    sampled = [sample(full, 0.1, seed=seed) for seed in range(SAMPLES)]
    everything = learn(full)
    weighted, ignored = (np.stack([learn(q) for q in s]) for s in (sampled, [without_strata(q) for q in sampled]))
    average = np.array(list(values(Ltr(LISTS, 0, ""), held_out, xinfap_objective(truth)).values()))

    # full .392, weighted .390, average .361, ignored .345
    assert everything.mean() > average.mean() + 0.02  # there is something to learn
    assert abs(everything.mean() - weighted.mean()) < 0.005  # less than topics make of it by chance
    assert (weighted.mean(axis=1) > ignored.mean(axis=1) + 0.02).all()  # whichever shots were judged
    test = randomization_test(np.stack([weighted.mean(axis=0), ignored.mean(axis=0)]))
    assert test.p_values[0, 1] < 0.001
    assert ignored.mean() < average.mean()  # worse than not having learned
