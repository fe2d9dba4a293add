"""Which epoch of a training is best: by retrieval with held-out captions, or by xinfAP on a judged collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from avs.core.artifacts import fingerprint_content
from avs.core.captions import CaptionSet
from avs.core.qrels import Qrels
from avs.core.ranking import RankedList
from avs.metrics.evaluation import Evaluator
from avs.metrics.measures import parse_measures
from avs.metrics.text_to_video import RetrievalScores, rank_videos
from avs.models.retrieval import RetrievalModel
from avs.train.data import FeatureTable
from avs.train.embed import batches, embed_texts, similarities
from avs.train.loop import Validate


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSet:
    """What a model is validated on.

    Attributes:
        texts: features of T captions or topics.
        videos: features of V videos or shots.
        judge: measures of their (T, V) scores.
        measure: the measure that decides.
        description: its name and fingerprints, for the checkpoint.
    """

    texts: FeatureTable
    videos: FeatureTable
    judge: Callable[[np.ndarray], Mapping[str, float]]
    measure: str
    description: Mapping[str, str]

    def validator(self, device: str) -> Validate:
        """Measures of a model; one that needs calibration is calibrated on these texts and videos first."""

        def validate(model: RetrievalModel) -> Mapping[str, float]:
            if model.needs_calibration:
                calibrate(model, self.texts, self.videos, device=device)
            return self.judge(similarities(model, self.texts, self.videos, device=device))

        return validate


def by_captions(video_of: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """MRR and recalls of the video of each caption, text to video.

    Args:
        video_of: (T,) int64, column of each caption's video in the scores.
    """

    def judge(scores: np.ndarray) -> dict[str, float]:
        measures = RetrievalScores.of(rank_videos(scores, video_of)).measures
        return {name: measures[name] for name in ("MRR", "R@1", "R@5", "R@10", "SumR")}

    return judge


def by_judgments(topics: Sequence[str], shots: Sequence[str], qrels: Qrels) -> Callable[[np.ndarray], dict[str, float]]:
    """Mean xinfAP of the topics' ranked lists."""
    evaluator = Evaluator(qrels, parse_measures(["infAP"]))

    def judge(scores: np.ndarray) -> dict[str, float]:
        lists = {}
        for topic, row in zip(topics, scores, strict=True):
            ranked = RankedList.from_scores(topic, shots, row)
            lists[topic] = (ranked.shots, ranked.scores)
        return {"xinfAP": float(evaluator.evaluate(lists, "validation").overall()[0])}

    return judge


def describe_captions(captions: CaptionSet) -> dict[str, str]:
    """Name and fingerprint of the captions to validate on."""
    return {"captions": captions.name, "captions_fingerprint": captions.fingerprint}


def describe_judgments(topics: Path, qrels: Path) -> dict[str, str]:
    """Files and fingerprint of the topics to validate on."""
    return {"topics": str(topics), "topics_fingerprint": fingerprint_content(topics), "qrels": str(qrels)}


def calibrate(model: RetrievalModel, texts: FeatureTable, videos: FeatureTable, *, device: str) -> None:
    """Calibrate a model on the embeddings of these texts and videos."""
    with torch.inference_mode():
        embedded = torch.cat([model.embed_videos(batch).float() for batch in batches(videos, device=device)])
        model.calibrate(embed_texts(model, texts, device=device), embedded)
