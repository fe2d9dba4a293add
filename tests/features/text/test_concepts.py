from __future__ import annotations

import numpy as np

from avs.features.text import text_feature_from_json
from avs.features.text.concepts import Concepts

CAPTIONS = ["a dog runs", "the dog and a cat", "a cat sleeps", "a dog", "the"]
VIDEO_OF = np.array([7, 7, 3, 9, 3])


def test_a_video_has_the_concepts_that_any_of_its_captions_names() -> None:
    concepts = Concepts.mine("concepts", CAPTIONS, size=3)
    assert concepts.vocabulary.words == ("dog", "cat", "runs")
    labels = concepts.labels(CAPTIONS, VIDEO_OF).take(np.arange(5))
    assert labels.tolist() == [[1, 1, 1], [1, 1, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]


def test_a_text_alone_has_none() -> None:
    concepts = text_feature_from_json(Concepts.mine("c", CAPTIONS, size=2).to_json())
    column, present = concepts.columns(["a dog"])
    assert column.take(np.array([0])).tolist() == [[0.0, 0.0]]
    assert present is not None and present.tolist() == [False]
