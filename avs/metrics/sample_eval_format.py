"""Scores in the output format of NIST's sample_eval.pl, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avs.metrics.evaluation import Scores
from avs.metrics.measures import SUMMED, Measure
from avs.metrics.xinfap import RECALL_LEVELS

SAMPLE_EVAL_CUTOFFS = (10, 100, 1000, 1000)  # the tool prints 1000 twice: as a cut-off and as its largest list


def sample_eval_lines(
    scores: Scores, *, per_topic: bool = False, official_mean: bool = False, topic_prefix: str = ""
) -> Iterator[str]:
    """The lines that the tool prints for a run.

    Args:
        scores: of `sample_eval_measures`.
        per_topic: print the lines of every topic first, as with its option -q.
        official_mean: average and print only the topics that the run answers, as the tool does.
        topic_prefix: what the qrels file has before the topic ids ("1" in NIST's files).
    """
    for topic, row, answered in zip(scores.topics, scores.values, scores.answered, strict=True):
        if per_topic and (answered or not official_mean):
            for measure, value in zip(scores.measures, row, strict=True):
                yield _line(measure, topic_prefix + topic, value)
    row = scores.overall(official_mean=official_mean)
    for measure, value in zip(scores.measures, row, strict=True):
        yield _line(measure, "all", value)
        if measure.name == "infNDCG":
            yield from _recall_lines(scores.overall_recall_precision(official_mean=official_mean))


def _recall_lines(precisions: np.ndarray) -> Iterator[str]:
    for level, value in zip(RECALL_LEVELS, precisions, strict=True):
        yield f"iprec@rec{level:4.2f}\tall\t\t{value:6.4f}\n"


def _line(measure: Measure, topic: str, value: float) -> str:
    if measure.name not in SUMMED:
        return f"{measure.name}{measure.cutoff or ''}\t\t{topic}\t\t{value:6.4f}\n"
    tabs = "\t\t" if measure.name == "num_ret" else "\t"
    return f"{measure.name}{tabs}{topic}\t" + (f"{value:9.0f}\n" if measure.name == "num_ret" else f"{value:14.4f}\n")
