"""What decides which epoch of a training is best: retrieval on held-out captions, or xinfAP on a judged collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from avs.core.artifacts import fingerprint_file
from avs.core.captions import CaptionSet
from avs.core.qrels import Qrels
from avs.core.ranking import RankedList
from avs.metrics.evaluation import Evaluator
from avs.metrics.measures import parse_measures
from avs.metrics.text_to_video import RetrievalScores, rank_videos
from avs.train.data import FeatureTable
from avs.train.embed import similarities

Validate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """What a model is validated on.

    Attributes:
        texts: features of T captions or topics.
        videos: features of V videos or shots.
        judge: measures of their (T, V) scores.
        measure: the one that decides.
        said: what it is, for the checkpoint: a name and fingerprints.
    """

    texts: FeatureTable
    videos: FeatureTable
    judge: Callable[[np.ndarray], Mapping[str, float]]
    measure: str
    said: Mapping[str, str]

    def validator(self, device: str) -> Validate:
        """The trainer's callable; a model with ranges to calibrate is calibrated on these texts and videos first."""

        def validate(model: nn.Module) -> Mapping[str, float]:
            if hasattr(model, "calibrate"):
                calibrate(model, self.texts, self.videos, device=device)
            return self.judge(similarities(model, self.texts, self.videos, device=device))

        return validate


def by_captions(video_of: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """Retrieval of the video of each caption, (T,) columns of the scores: MRR and recalls, text to video."""

    def judge(scores: np.ndarray) -> dict[str, float]:
        found = RetrievalScores.of(rank_videos(scores, video_of)).measures
        return {name: found[name] for name in ("MRR", "R@1", "R@5", "R@10", "SumR")}

    return judge


def by_judgments(topics: Sequence[str], shots: Sequence[str], qrels: Qrels) -> Callable[[np.ndarray], dict[str, float]]:
    """Mean xinfAP of the ranked lists."""
    evaluator = Evaluator(qrels, parse_measures(["infAP"]))

    def judge(scores: np.ndarray) -> dict[str, float]:
        lists = {}
        for topic, row in zip(topics, scores, strict=True):
            ranked = RankedList.from_scores(topic, shots, row)
            lists[topic] = (ranked.shots, ranked.scores)
        return {"xinfAP": float(evaluator.evaluate(lists, "validation").overall()[0])}

    return judge


def said_of_captions(captions: CaptionSet) -> dict[str, str]:
    return {"captions": captions.name, "captions_fingerprint": captions.fingerprint}


def said_of_judgments(topics: Path, qrels: Path) -> dict[str, str]:
    return {"topics": str(topics), "topics_fingerprint": fingerprint_file(topics), "qrels": str(qrels)}


def calibrate(model: nn.Module, texts: FeatureTable, videos: FeatureTable, *, device: str) -> None:
    """Set what a model keeps of the range of its scores (hybrid space)."""
    import torch

    from avs.train.embed import batches, embed_texts

    with torch.inference_mode():
        embedded = torch.cat([model.embed_videos(batch).float() for batch in batches(videos, device=device)])
        model.calibrate(embed_texts(model, texts, device=device), embedded)
