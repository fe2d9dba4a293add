"""The methods by name: those that need nothing but the lists, and those that learn from judged topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from avs.core.errors import ConfigError, did_you_mean
from avs.core.objective import Objective
from avs.core.qrels import Qrels
from avs.fusion.borda import Borda
from avs.fusion.comb import Average, CombMax, CombMnz, CombSum
from avs.fusion.coordinate_ascent import RESTARTS, coordinate_ascent
from avs.fusion.folds import Fold, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.ltr import LtrSettings, learn_to_rank
from avs.fusion.normalize import Scale
from avs.fusion.rrf import ReciprocalRank

UNLEARNED: dict[str, Callable[[Scale], Fuser]] = {
    "average": Average,
    "combsum": CombSum,
    "combmnz": CombMnz,
    "combmax": CombMax,
    "rrf": lambda scale: ReciprocalRank(),
    "borda": lambda scale: Borda(),
}
RANK_BASED = ("rrf", "borda")  # look at no score
LEARNED = ("coordinate-ascent", "ltr")
WEIGHTED = "weighted"  # Linear, its weights given by hand
INNER_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Learning:
    """What a learned method needs beside the lists.

    Attributes:
        objective: what is optimised.
        qrels: judgments of the topics to learn from.
        same: topic -> what it shares with topics that must stand in its fold, such as its sentence.
        seed: of starts, folds, and LightGBM.
        threads: the result of coordinate ascent does not depend on it.
        restarts: of coordinate ascent.
        ltr: settings of LightGBM.
    """

    objective: Objective
    qrels: Qrels
    same: Mapping[str, str]
    seed: int = 0
    threads: int = 1
    restarts: int = RESTARTS
    ltr: LtrSettings = LtrSettings()

    def folds(self, topics: Sequence[str]) -> list[Fold]:
        """The folds within which a method chooses its own settings.

        Raises:
            ConfigError: there are not two different topics.
        """
        different = len({self.same.get(topic, topic) for topic in topics})
        if different < 2:
            raise ConfigError("learning takes two different topics or more", got=", ".join(topics) or "none")
        return topic_folds(topics, min(INNER_FOLDS, different), seed=self.seed, same=self.same)


def unlearned(method: str, scale: Scale) -> Fuser:
    """A fuser that needs nothing but the lists.

    Raises:
        ConfigError: there is none of this name.
    """
    require_method(method)
    if method in LEARNED:
        raise ConfigError(f"{method} learns from judged topics", next_step="give their judgments: --qrels")
    return UNLEARNED[method](scale)


def learner(method: str, scale: Scale, learning: Learning) -> Learner:
    """The method as something that can be fitted; one that learns nothing gives the same fuser for any topics."""
    require_method(method)
    if method == "coordinate-ascent":
        return lambda pools: _coordinate_ascent(pools, scale, learning)
    if method == "ltr":
        return lambda pools: _learn_to_rank(pools, learning)
    return lambda pools: UNLEARNED[method](scale)


def require_method(name: str) -> None:
    """Check that a method exists.

    Raises:
        ConfigError: it does not; names the closest and all.
    """
    known = (*UNLEARNED, WEIGHTED, *LEARNED)
    if name not in known:
        raise ConfigError(f'unknown method "{name}"{did_you_mean(name, known)}', wanted=", ".join(known))


def _coordinate_ascent(pools: Pools, scale: Scale, learning: Learning) -> Fuser:
    return coordinate_ascent(
        pools,
        learning.objective,
        folds=learning.folds(tuple(pools)),
        scale=scale,
        restarts=learning.restarts,
        seed=learning.seed,
        threads=learning.threads,
    )


def _learn_to_rank(pools: Pools, learning: Learning) -> Fuser:
    return learn_to_rank(
        pools,
        learning.objective,
        qrels=learning.qrels,
        folds=learning.folds(tuple(pools)),
        settings=learning.ltr,
        seed=learning.seed,
        threads=learning.threads,
    )
