"""An actor that searches ranges of shots: what runs on a node."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np

from avs.cluster.node_check import NodeCheck
from avs.core.errors import AvsError
from avs.ranking.blocks import BlockSource
from avs.ranking.score import Scorer, covered, require_fitting
from avs.ranking.topk import TopK

States = Mapping[str, Mapping[str, np.ndarray]]
"""Name of a scorer -> state of its collector."""
R = TypeVar("R")


class Opening(Protocol):
    """How a node opens what is searched; it is pickled."""

    def __call__(self, device: str) -> tuple[Sequence[Scorer], BlockSource]:
        """The scorers, and the shots.

        Raises:
            AvsError: the node does not have what the command has.
        """
        ...


class SearchActor:
    """Opens stores and models once, and then searches as many ranges as it is given. It returns errors."""

    def begin(
        self, opening: Opening, topics: Sequence[str], k: int, device: str, threads: int, check: NodeCheck
    ) -> list[int] | Exception:
        """The borders of the blocks.

        Args:
            threads: number of torch's threads: those of the command, since sums depend on how they are shared.
        """
        return _or_error(lambda: self._opened(opening, topics, k, device, threads, check))

    def search(self, first: int, stop: int) -> States | Exception:
        """The best shots from border `first` to border `stop`."""
        return _or_error(lambda: self._found(first, stop))

    def _opened(
        self, opening: Opening, topics: Sequence[str], k: int, device: str, threads: int, check: NodeCheck
    ) -> list[int]:
        import torch

        check.require()
        torch.set_num_threads(threads)
        self._scorers, self._source = opening(device)
        self._topics, self._k = topics, k
        require_fitting(self._scorers, self._source)
        return self._source.borders()

    def _found(self, first: int, stop: int) -> States:
        best = {scorer.name: TopK(self._topics, self._source.ids, k=self._k) for scorer in self._scorers}
        for _ in covered(best, self._scorers, self._source, first, stop):
            pass
        return {name: collector.state() for name, collector in best.items()}


def _or_error(work: Callable[[], R]) -> R | Exception:
    """What `work` gives, or its error. Ray would hide one that is raised in a long text of its own."""
    try:
        return work()
    except (AvsError, OSError) as error:
        return error
    except Exception as error:
        traceback.print_exc()  # into Ray's log of this process
        return AvsError(f"an actor ended with {type(error).__name__}: {error}", next_step="Ray's logs have more")
