"""The baseline: ridge regression from L2-normalised bag of words to centred image features.

    python benchmarks/flickr8k/ridge.py

All words of the training captions count, including stop words. In each fold the penalty is chosen by five folds
within the training images; the held-out images are searched with all their captions. The score of an image is the
cosine of the prediction and its feature, from which the mean of the training images was subtracted.
"""

from __future__ import annotations

import numpy as np
from folds import Images, read_images, split

from avs.core.captions import CaptionSet
from avs.features.text.bag_of_words import BagOfWords
from avs.features.words import Vocabulary
from avs.metrics.text_to_video import RetrievalScores, rank_videos

PENALTIES = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)


class Ridge:
    """Regressions on the training images, one per penalty."""

    def __init__(self, train: Images, penalties: tuple[float, ...]) -> None:
        self.words = BagOfWords("bow", Vocabulary.build(train.captions.texts, threshold=1), norm="l2", legacy=True)
        self.mean = train.features.mean(0)
        words = self._words(train.captions)
        targets = (train.features - self.mean)[train.captions.video_of]
        gram, moments = words.T @ words, words.T @ targets
        unit = np.eye(len(gram), dtype=np.float32)
        self.maps = {penalty: np.linalg.solve(gram + penalty * unit, moments) for penalty in penalties}

    def _words(self, captions: CaptionSet) -> np.ndarray:
        column, _ = self.words.columns(captions.texts)
        return column.take(np.arange(len(captions)))

    def scores(self, penalty: float, queries: CaptionSet, test: Images) -> RetrievalScores:
        """Scores of a search of the images of `test` with `queries`, which are captions of them."""
        centred = test.features - self.mean
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        scores = self._words(queries) @ self.maps[penalty] @ centred.T
        return RetrievalScores.of(rank_videos(scores, queries.video_of))


def best_penalty(train: Images) -> float:
    """The penalty with the best mean reciprocal rank within the training images."""
    totals = dict.fromkeys(PENALTIES, 0.0)
    for kept, held in split(train):
        ridge = Ridge(kept, PENALTIES)
        for penalty in PENALTIES:
            totals[penalty] += ridge.scores(penalty, held.captions, held).mean_reciprocal_rank
    return max(totals, key=totals.__getitem__)


def fold_scores(train: Images, test: Images) -> tuple[float, RetrievalScores]:
    """The chosen penalty, and its scores on the test images."""
    penalty = best_penalty(train)
    return penalty, Ridge(train, (penalty,)).scores(penalty, test.queries(), test)


def main() -> None:
    recalls = []
    for number, (train, test) in enumerate(split(read_images()), start=1):
        penalty, scores = fold_scores(train, test)
        recalls.append(list(scores.measures.values())[:3])
        named = zip(("R@1", "R@5", "R@10"), recalls[-1], strict=True)
        print(f"fold {number}: penalty {penalty}, " + ", ".join(f"{name} {value:.1f}" for name, value in named))
    mean, deviation = np.mean(recalls, 0), np.std(recalls, 0, ddof=1)
    print(
        "ridge: " + ", ".join(f"R@{k} {m:.1f} ± {s:.1f}" for k, m, s in zip((1, 5, 10), mean, deviation, strict=True))
    )


if __name__ == "__main__":
    main()
