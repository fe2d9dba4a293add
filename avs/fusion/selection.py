"""Which setting to take after cross-validation: the one-standard-error rule (Breiman et al., CART, 1984).

The best mean over a few dozen topics is the best by luck as often as not. Taken is the first setting, in the order from
the average of the lists outwards, whose mean falls short of the best by no more than one standard error of their paired
difference.
"""

from __future__ import annotations

import numpy as np


def first_within_one_error(values: np.ndarray) -> int:
    """The setting to take.

    Args:
        values: (T, S) of T held-out topics and S settings, the simplest first.
    """
    best = int(values.mean(axis=0).argmax())
    for setting in range(best):
        short = values[:, best] - values[:, setting]
        if len(short) > 1 and short.mean() <= short.std(ddof=1) / np.sqrt(len(short)):
            return setting
    return best
