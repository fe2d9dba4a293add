from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from word_vector_files import VECTORS, write_bigfile, write_word2vec

from avs.core.errors import AvsError, SpecMismatchError
from avs.features.text.word2vec import Word2Vec

RED, DOG, RUNS, THE = (np.array(VECTORS[word]) for word in ("red", "dog", "runs", "the"))
TEXTS = ["the red red dog", "zebra", "Runs!"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bigfile(tmp_path / "vectors")


def test_the_mean_of_the_words_that_are_no_stop_words(folder: Path) -> None:
    column, present = Word2Vec("word2vec", folder).columns(TEXTS)
    assert column.take(np.arange(3)) == pytest.approx(np.array([(RED + RED + DOG) / 3, 0 * RED, RUNS]), abs=1e-6)
    assert present is not None and present.tolist() == [True, False, True]
    assert (len(column), column.dim) == (3, 3) and column.take(np.array([0])).dtype == np.float32


def test_rows_come_as_they_are_asked_for(folder: Path) -> None:
    column, _ = Word2Vec("word2vec", folder).columns(TEXTS)
    assert column.take(np.array([2, 2, 0])) == pytest.approx(np.array([RUNS, RUNS, (RED + RED + DOG) / 3]), abs=1e-6)


def test_the_authors_count_each_word_once_and_have_zeros_where_none_is_known(folder: Path) -> None:
    column, present = Word2Vec("word2vec", folder, legacy=True).columns(TEXTS)
    assert column.take(np.arange(3)) == pytest.approx(np.array([(RED + DOG) / 2, 0 * RED, RUNS]), abs=1e-6)
    assert present is None


def test_stop_words_kept(folder: Path) -> None:
    column, _ = Word2Vec("word2vec", folder, remove_stop_words=False).columns(["the dog"])
    assert column.take(np.array([0])) == pytest.approx(np.array([(THE + DOG) / 2]), abs=1e-6)


def test_texts_of_unknown_words_alone(folder: Path) -> None:
    column, present = Word2Vec("word2vec", folder).columns(["zebra", "yak"])
    assert column.take(np.arange(2)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert present is not None and not present.any()


def test_unknown_words(folder: Path) -> None:
    assert Word2Vec("word2vec", folder).unknown_words(["the zebra and the red zebra", "dog"]) == [["zebra"], []]


def test_a_file_and_a_bigfile_give_the_same(folder: Path, tmp_path: Path) -> None:
    file = write_word2vec(tmp_path / "vec.bin", binary=True)
    taken = [Word2Vec("word2vec", path).columns(TEXTS)[0].take(np.arange(3)) for path in (folder, file)]
    assert (taken[0] == taken[1]).all()


def test_it_survives_json_and_a_move(folder: Path, tmp_path: Path) -> None:
    feature = Word2Vec("w2v", folder, remove_stop_words=False, legacy=True)
    data = json.loads(json.dumps(feature.to_json()))
    assert Word2Vec.from_json(data).to_json() == data
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(AvsError, match="no such file of word vectors"):
        Word2Vec.from_json(data)
    again = Word2Vec.from_json(data, path=moved)
    assert again.to_json() == data | {"path": str(moved)}
    assert again.columns(TEXTS)[0].take(np.arange(1)) == pytest.approx(np.array([(THE + RED + DOG) / 3]), abs=1e-6)


def test_other_vectors_are_refused(folder: Path) -> None:
    data = Word2Vec("word2vec", folder).to_json()
    (folder / "id.txt").write_text("red dog runs a", encoding="utf-8")
    with pytest.raises(SpecMismatchError) as raised:
        Word2Vec.from_json(data)
    assert raised.value.what == "the word vectors are not those of the feature word2vec"
    assert raised.value.wanted == data["fingerprint"]
