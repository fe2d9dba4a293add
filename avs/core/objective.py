"""A measure as a callable that scores orders, for stages that optimise it without knowing which one it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

TopicObjective = Callable[[np.ndarray], np.ndarray]
"""(..., K) int64 positions among a topic's candidates, best first, each row without repeats -> (...) values; the larger
the better."""

Objective = Callable[[str, Sequence[str]], TopicObjective]
"""Topic id and its C candidate shots -> the objective of that topic. What can be looked up once is looked up here."""
