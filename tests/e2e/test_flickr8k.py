"""The study of benchmarks/flickr8k on its first fold, with a small LAFF and few epochs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

STUDY = Path(__file__).resolve().parents[2] / "benchmarks" / "flickr8k"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STUDY))


@pytest.fixture
def images(shared: Callable[[str], Path]):
    folder = shared("flickr8k_clip/captions.json").parent
    from folds import read_images

    return read_images(folder)


def test_folds_test_each_image_once_and_train_on_none_of_them(images):
    from folds import split

    folds = split(images)
    assert len(images.captions) == 5000 and len(images.captions.videos) == len(images.features) == 1000
    tested = [name for _, test in folds for name in test.captions.videos]
    assert len(folds) == 5 and sorted(tested) == sorted(images.captions.videos)
    for train, test in folds:
        assert (len(train.features), len(test.features)) == (800, 200)
        assert not set(train.captions.videos) & set(test.captions.videos)
        place = images.captions.videos.index(test.captions.videos[7])
        np.testing.assert_array_equal(test.features[7], images.features[place])
        assert test.queries().videos == test.captions.videos


def test_queries_are_the_captions_the_features_came_with(images, shared):
    import json

    texts = json.loads(shared("flickr8k_clip/captions.json").read_text())
    assert list(images.queries().texts) == [text.strip() for text in texts]


def test_ridge_reaches_what_the_page_says_of_its_first_fold(images):
    from folds import split
    from ridge import Ridge

    train, test = split(images)[0]
    measures = Ridge(train, (0.3,)).scores(0.3, test.queries(), test).measures
    assert measures["R@1"] == pytest.approx(38.5, abs=1) and measures["R@10"] == pytest.approx(80.5, abs=1)


def test_a_small_laff_learns_to_search_images(images, tmp_path):
    import laff
    from folds import split

    train, test = split(images)[0]
    small = ("--heads", "2", "--head-dim", "128", "--epochs", "5", "--batch-size", "64", "--learning-rate", "1e-3")
    laff.write_store(images, tmp_path / "images")
    measures = laff.fold_scores(laff.System("small", "flickr8k_paper.yaml", small), 1, train, test, tmp_path).measures
    assert measures["R@5"] > 50  # by chance 2.5


def test_class_names_are_found_by_clip_and_captions_name_them(images, shared):
    from class_names import average_precision, read_classes, shown

    classes = read_classes(shared("lvis_clip_text/lvis_v1_train_cat_info.json").parent)
    dog, person = classes.names.index("dog"), classes.names.index("person")
    assert classes.mentioned("Two dogs chase a tennis ball .") == sorted([dog, classes.names.index("tennis ball")])
    assert classes.mentioned("The boys fight") == [person]
    relevant = shown(classes, images)[dog]
    assert relevant.sum() == 246
    assert average_precision(images.features @ classes.vectors[dog], relevant) == pytest.approx(0.980, abs=0.001)
