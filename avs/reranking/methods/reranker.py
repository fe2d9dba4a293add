"""What a reranker is, and the registry of all of them.

A reranker is one file in this package, which registers one `Reranker`, and one import in `__init__.py`. The options of
`avs rerank`, their help, the refusals and the fitting follow from what it registers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np

from avs.core.registry import Registry

Need = Literal["store", "topics", "encoder", "other topics", "judge", "model"]
"""store: a feature store of the shots. topics: the sentences of the topics. encoder: the topics as vectors of the
store's encoder. other topics: those of other years as well. judge: a vision-language model, and the videos. model: a
trained model, which may read several stores."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a reranker, which is an option of `avs rerank`.

    Attributes:
        default: its default value, which has the parameter's type.
        help: what it is, for the help of the command.
        grid: values to choose from when the reranker is fitted; empty: it is not fitted.
    """

    default: Any
    help: str
    grid: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker:
    """A way to rerank the best shots of a list.

    Attributes:
        help: what it does, in a few words.
        evidence: (material, **parameters) -> (N,) numbers for the N best shots of each list, in the order of
            `material.topics`; the larger the better.
        needs: what it looks at.
        alpha: default weight of the list when its scores are blended with the evidence. None: the evidence replaces
            the scores, and there is nothing to fit.
        parameters: name, an identifier -> parameter, beside alpha.
        depth: default number of shots to rerank.
    """

    help: str
    evidence: Callable[..., Sequence[np.ndarray]]
    needs: tuple[Need, ...] = ()
    alpha: float | None = 0.5
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    depth: int = 1000

    @property
    def defaults(self) -> dict[str, Any]:
        """Name -> default value of all parameters; alpha comes first."""
        alpha = {} if self.alpha is None else {"alpha": self.alpha}
        return alpha | {name: parameter.default for name, parameter in self.parameters.items()}

    def settings(self, parameters: Mapping[str, Any], fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
        """All combinations of the parameters to choose from when the reranker is fitted.

        Args:
            parameters: values of all parameters.
            fixed: values that the user gave, which are not fitted.
        """
        grids = {
            name: parameter.grid for name, parameter in self.parameters.items() if parameter.grid and name not in fixed
        }
        return [{**parameters, **dict(zip(grids, values, strict=True))} for values in product(*grids.values())]


RERANKERS: Registry[Reranker] = Registry("method")


def rerankers_help() -> str:
    """All rerankers with what they do, for the help of a command."""
    return "; ".join(f"{name}: {RERANKERS.get(name).help}" for name in RERANKERS) + "."


def needing(*needs: Need) -> list[str]:
    """Names of the rerankers that need one of `needs`."""
    return [name for name in RERANKERS if not set(needs).isdisjoint(RERANKERS.get(name).needs)]


def depths_help() -> str:
    """The default depth of the rerankers, such as "1000, for judge 100"."""
    usual = Reranker.__dataclass_fields__["depth"].default
    others = {name: RERANKERS.get(name).depth for name in RERANKERS if RERANKERS.get(name).depth != usual}
    return ", for ".join([f"{usual}", *(f"{name} {depth}" for name, depth in others.items())])


def takers(parameter: str) -> list[str]:
    """Names of the rerankers that have a parameter."""
    return [name for name in RERANKERS if parameter in RERANKERS.get(name).defaults]


def all_parameters() -> dict[str, Parameter]:
    """Name -> parameter, of all rerankers, without alpha; the help says which rerankers take it."""
    first = {name: p for method in map(RERANKERS.get, RERANKERS) for name, p in method.parameters.items()}
    return {name: Parameter(p.default, f"{', '.join(takers(name))}: {p.help}") for name, p in first.items()}
