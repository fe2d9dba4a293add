"""What a stage is given that must optimise a measure without knowing it: a callable that scores orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

TopicObjective = Callable[[np.ndarray], np.ndarray]
"""(..., K) int64 positions among a topic's candidates, best first, each row without repeats -> (...) values; the larger
the better."""

Objective = Callable[[str, Sequence[str]], TopicObjective]
"""Topic id and its C candidate shots -> the objective of that topic. What can be looked up once is, here."""
