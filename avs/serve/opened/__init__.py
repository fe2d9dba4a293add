"""What is opened: shots, stores, embeddings, texts."""

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""What is told while something is opened: what is done, how much of it, and of how much."""
