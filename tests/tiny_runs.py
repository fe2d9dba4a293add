"""Runs and judgments small enough to score by hand."""

from __future__ import annotations

from pathlib import Path

from avs.core.qrels import Qrels
from avs.core.ranking import RankedList, Run
from avs.trecvid.qrels import read_qrels

TOPICS = ("661", "662", "663")


def tiny_run(tag: str, order: str) -> Run:
    """A run with the same list for every topic; `order` names its shots by their numbers."""
    shots = [f"shot1_{number}" for number in order.split()]
    return Run({t: RankedList.from_scores(t, shots, [-float(n) for n in range(len(shots))]) for t in TOPICS}, tag)


def tiny_qrels(folder: Path) -> Qrels:
    """Of four judged shots, 1 and 3 are relevant for every topic."""
    lines = (f"1{topic} 0 shot1_{n} 1 {n % 2}\n" for topic in TOPICS for n in range(1, 5))
    (folder / "qrels").write_text("".join(lines))
    return read_qrels(folder / "qrels")
