"""What a fusion method is, and the registry of all of them.

A method is one file in this package, which registers one `Method`, and one import in `__init__.py`. The help of
`avs fuse`, its errors, fuser.json and the report follow from what it registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from avs.core.errors import ConfigError
from avs.core.objective import Objective
from avs.core.qrels import Qrels
from avs.core.registry import Registry
from avs.fusion.folds import Fold, topic_folds
from avs.fusion.fuser import Fuser, Learner
from avs.fusion.normalize import RRF_K, Scale

INNER_FOLDS = 5
AVERAGE = "average"
"""The method that every other one is compared with, and the default."""


@dataclass(frozen=True, slots=True)
class Learning:
    """What a learned method needs beside the lists.

    Attributes:
        objective: the measure that is optimised.
        qrels: judgments of the topics to learn from.
        same: topic -> a key, such as its sentence; topics of the same key are kept in the same fold.
        seed: random seed for folds, restarts and LightGBM.
        threads: number of threads; the result of coordinate ascent does not depend on it.
        settings: method -> keyword arguments for its `fit`, such as {"coordinate-ascent": {"restarts": 1}}.
    """

    objective: Objective
    qrels: Qrels
    same: Mapping[str, str]
    seed: int = 0
    threads: int = 1
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def folds(self, topics: Sequence[str]) -> list[Fold]:
        """The folds within which a method chooses its own settings.

        Raises:
            ConfigError: there are not two different topics.
        """
        different = len({self.same.get(topic, topic) for topic in topics})
        if different < 2:
            raise ConfigError("learning takes two different topics or more", got=", ".join(topics) or "none")
        return topic_folds(topics, min(INNER_FOLDS, different), seed=self.seed, same=self.same)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """One table of numbers that a fuser has learned, for the report.

    Attributes:
        what: the title, such as "weight".
        values: name of a list or of a feature -> its number.
        axis: what the numbers are, as the axis of a plot says it; empty: counts, which are not plotted.
        equal: what it means that all numbers are equal, where that means something.
        note: a sentence that helps to read the table.
    """

    what: str
    values: Mapping[str, float]
    axis: str = ""
    equal: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to fuse lists. It has either `build` (it learns nothing) or `fit` (it learns from judged topics).

    Attributes:
        help: what it does, in a few words.
        fuser: class of its fusers; several methods may share one.
        kind: the fuser's "type" in fuser.json.
        to_json: a fuser -> what fuser.json holds of it beside its type.
        from_json: the reverse; raises ValueError, KeyError, TypeError or AvsError where the data are damaged.
        build: scale, and weights by hand where `takes_weights` -> a fuser.
        fit: pools of judged topics, scale, learning and settings of its own -> a fuser.
        takes_weights: whether the user gives a weight for each list.
        takes_k: whether it reads k of the scale, though it does not use the scale's scores.
        uses_scale: whether it combines scores on the scale that the user chooses.
        text_field: a key of the JSON data whose long text is kept in a file of its own.
        learned: a fuser -> what the report shows of it.
    """

    help: str
    fuser: type
    kind: str
    to_json: Callable[[Any], Mapping[str, Any]] = lambda fuser: {}
    from_json: Callable[[Mapping[str, Any]], Fuser]
    build: Callable[[Scale, Mapping[str, float]], Fuser] | None = None
    fit: Callable[..., Fuser] | None = None
    takes_weights: bool = False
    takes_k: bool = False
    uses_scale: bool = True
    text_field: str | None = None
    learned: Callable[[Any], Sequence[Learned]] = lambda fuser: ()


METHODS: Registry[Method] = Registry("method")


def unlearned(name: str, scale: Scale, weights: Mapping[str, float] | None = None) -> Fuser:
    """The fuser of a method that needs nothing but the lists.

    Args:
        weights: list -> weight, for a method that takes them.

    Raises:
        ConfigError: there is no method of this name, or it learns.
    """
    build = METHODS.get(name).build
    if build is None:
        raise ConfigError(f"{name} learns from judged topics", next_step="give their judgments: --qrels")
    return build(scale, weights or {})


def learner(name: str, scale: Scale, learning: Learning) -> Learner:
    """The method as something that can be fitted; one that learns nothing gives the same fuser for any topics.

    Raises:
        ConfigError: there is no method of this name.
    """
    fit = METHODS.get(name).fit
    if fit is None:
        return lambda pools: unlearned(name, scale)
    settings = learning.settings.get(name, {})
    return lambda pools: fit(pools, scale, learning, **settings)


def methods_help() -> str:
    """All methods with what they do, the learned ones last, for the help of a command."""
    by_kind = {learns: [name for name in METHODS if bool(METHODS.get(name).fit) == learns] for learns in (False, True)}
    texts = {
        learns: ", ".join(f"{name} ({METHODS.get(name).help})" for name in names) for learns, names in by_kind.items()
    }
    return f"{texts[False]}. Learned from judged topics: {texts[True]}. Default: {AVERAGE}."


def method_of(fuser: Fuser) -> Method:
    """A method whose fusers are of this class.

    Raises:
        TypeError: there is none.
    """
    for method in map(METHODS.get, METHODS):
        if type(fuser) is method.fuser:
            return method
    raise TypeError(f"no registered method makes a {type(fuser).__name__}")


def method_of_kind(kind: str) -> Method:
    """A method whose fusers are of this "type" in fuser.json.

    Raises:
        ValueError: there is none.
    """
    for method in map(METHODS.get, METHODS):
        if method.kind == kind:
            return method
    raise ValueError(f"unknown type of fuser: {kind}")


def scale_to_json(scale: Scale) -> dict[str, Any]:
    """A scale as fuser.json and manifests hold it; k only where it is not the usual one."""
    names = {"normalization": scale.normalization, "missing": scale.missing}
    return names if scale.k == RRF_K else {**names, "k": scale.k}


def scale_from_json(data: Mapping[str, Any]) -> Scale:
    """The scale in the data of a fuser.

    Raises:
        KeyError, ConfigError: there is none, or it has unknown names.
    """
    return Scale(data["normalization"], data["missing"], data.get("k", RRF_K))
