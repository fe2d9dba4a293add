"""The measures by name: `infAP`, `iP@10`, `AP`, `P@10`, `R@100`, `nDCG@10`.

`str(measure)` is the name of a measure everywhere: in options, in the header of a table, and as a JSON key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from avs.core.errors import ConfigError, Problems, did_you_mean
from avs.metrics import retrieval, xinfap
from avs.metrics.xinfap import JudgedList

FULL_JUDGMENT = ("AP", "P", "R", "nDCG")
SUMMED = ("inum_rel_ret", "inum_rel", "num_ret")  # the row `all` has their sum over topics, of others the mean

WITHOUT_CUTOFF: dict[str, Callable[[JudgedList], float]] = {
    "infAP": xinfap.infap,  # as sample_eval.pl calls it
    "xinfAP": xinfap.infap,  # as the literature calls it
    "infNDCG": xinfap.infndcg,
    "inum_rel_ret": lambda judged: float(judged.curve[-1]),
    "inum_rel": lambda judged: judged.topic.estimated_relevant,
    "num_ret": lambda judged: judged.lines,
    "AP": retrieval.average_precision,
    "nDCG": retrieval.ndcg,
}
WITH_CUTOFF: dict[str, Callable[[JudgedList, int], float]] = {
    "iP": xinfap.inferred_precision,
    "AP": retrieval.average_precision,
    "P": retrieval.precision,
    "R": retrieval.recall,
    "nDCG": retrieval.ndcg,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure, such as `Measure("iP", 10)`.

    >>> str(Measure("iP", 10)), str(Measure("infAP"))
    ('iP@10', 'infAP')
    """

    name: str
    cutoff: int | None = None

    def __str__(self) -> str:
        return self.name if self.cutoff is None else f"{self.name}@{self.cutoff}"

    @property
    def is_sum(self) -> bool:
        """Whether the row `all` has the sum over topics and not the mean."""
        return self.name in SUMMED

    @property
    def needs_full_judgments(self) -> bool:
        """Whether it is undefined if some pooled shots were not judged."""
        return self.name in FULL_JUDGMENT

    def __call__(self, judged: JudgedList) -> float:
        """The value for one ranked list."""
        if self.cutoff is None:
            return WITHOUT_CUTOFF[self.name](judged)
        return WITH_CUTOFF[self.name](judged, self.cutoff)


def parse_measures(words: Iterable[str]) -> tuple[Measure, ...]:
    """The measures with names such as "infAP" or "iP@10", in any case, each once, in their order.

    Raises:
        ConfigError: unknown names; a cut-off that is missing, not allowed, or not a whole number from 1; all at once.
    """
    problems = Problems("measures")
    measures: dict[Measure, None] = {}
    spelled = {name.lower(): name for name in (*WITHOUT_CUTOFF, *WITH_CUTOFF)}
    for word in words:
        given, at, cutoff = word.partition("@")
        name = spelled.get(given.lower(), given)
        if name not in spelled.values():
            problems.add(word, f"unknown measure{did_you_mean(name, spelled.values())}")
        elif at and name not in WITH_CUTOFF:
            problems.add(word, f"{name} has no cut-off")
        elif not at and name not in WITHOUT_CUTOFF:
            problems.add(word, f"needs a cut-off, such as {name}@10")
        elif at and not (cutoff.isascii() and cutoff.isdigit() and int(cutoff) > 0):
            problems.add(word, "the cut-off is not a whole number from 1")
        else:
            measures[Measure(name, int(cutoff) if at else None)] = None
    known = [*WITHOUT_CUTOFF, *(f"{name}@k" for name in WITH_CUTOFF)]
    problems.raise_if_any(ConfigError, next_step=f"known measures: {', '.join(known)}")
    return tuple(measures)


def parse_cutoffs(words: str) -> tuple[int, ...]:
    """The ranks of words such as "5,10,100".

    Raises:
        ConfigError: one is not a whole number from 1.
    """
    ranks = words.replace(",", " ").split()
    if not all(rank.isascii() and rank.isdigit() and int(rank) for rank in ranks):
        raise ConfigError("--cutoffs are whole numbers from 1", got=words, wanted="such as 5,10,100")
    return tuple(map(int, ranks))


def sample_eval_measures(cutoffs: Iterable[int]) -> tuple[Measure, ...]:
    """The measures that sample_eval.pl prints for a topic, in its order; a repeated cut-off is repeated."""
    names = ("infAP", "infNDCG"), ("inum_rel_ret", "inum_rel", "num_ret")
    head, tail = ([Measure(name) for name in part] for part in names)
    return (*head, *(Measure("iP", cutoff) for cutoff in cutoffs), *tail)
