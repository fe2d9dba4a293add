from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from word_vector_files import VECTORS, write_bigfile, write_word2vec

from avs.core.errors import AvsError, DataError, FormatError, MissingDependencyError
from avs.features.word_vectors import fingerprint_word_vectors, open_word_vectors


def write(kind: str, folder: Path) -> Path:
    if kind == "bigfile":
        return write_bigfile(folder / "word2vec")
    return write_word2vec(folder / kind, binary=".bin" in kind)


@pytest.mark.parametrize("kind", ["vec.txt", "vec.bin", "vec.txt.gz", "vec.bin.gz", "vec.anything.bin", "bigfile"])
def test_every_layout_gives_the_same_vectors(tmp_path: Path, kind: str) -> None:
    found = open_word_vectors(write(kind, tmp_path))
    assert found.dim == 3 and set(found.index) == set(VECTORS)
    assert found.take(["runs", "red", "runs"]).tolist() == [VECTORS["runs"], VECTORS["red"], VECTORS["runs"]]
    assert found.take([]).shape == (0, 3)


def test_text_or_binary_is_seen_from_the_content_and_not_from_the_name(tmp_path: Path) -> None:
    write_word2vec(tmp_path / "a.txt", binary=True)
    write_word2vec(tmp_path / "b.bin", binary=False)
    for name in ("a.txt", "b.bin"):
        assert open_word_vectors(tmp_path / name).take(["dog"]).tolist() == [VECTORS["dog"]]


def test_a_binary_row_may_begin_with_the_byte_of_a_line_end(tmp_path: Path) -> None:
    vector = np.frombuffer(b"\n\n\n\n 12 ", dtype="<f4")
    (tmp_path / "vec.bin").write_bytes(b"1 2\ndog " + vector.tobytes() + b"\n")
    assert open_word_vectors(tmp_path / "vec.bin").take(["dog"]).tolist() == [vector.tolist()]


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "vectors.kv").write_bytes(pickle.dumps({"dog": [1.0]}))
    with pytest.raises(FormatError) as raised:
        open_word_vectors(tmp_path / "vectors.kv")
    assert raised.value.next_step == "gensim writes both formats with KeyedVectors.save_word2vec_format"


def test_a_bigfile_is_not_read_into_memory(tmp_path: Path) -> None:
    assert isinstance(open_word_vectors(write_bigfile(tmp_path / "w")).vectors, np.memmap)


def test_files_that_are_no_word_vectors(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_text("Once upon a time\nthere was a dog\n", encoding="utf-8")
    with pytest.raises(FormatError) as raised:
        open_word_vectors(tmp_path / "story.txt")
    assert str(raised.value).startswith("not a readable file of word vectors\n")
    assert "b'Once upon a time'" in str(raised.value)
    (tmp_path / "glove.txt").write_text("red 1.0 0.5 2.0\ndog 1.0 0.5 3.0\n", encoding="utf-8")
    with pytest.raises(FormatError, match="whose first line is `WORDS DIM`"):
        open_word_vectors(tmp_path / "glove.txt")
    (tmp_path / "short.txt").write_text("2 3\nred 1.0 0.5\ndog 1.0 0.5 3.0\n", encoding="utf-8")
    with pytest.raises(FormatError):
        open_word_vectors(tmp_path / "short.txt")
    whole = write_word2vec(tmp_path / "vec.bin", binary=True).read_bytes()
    (tmp_path / "cut.bin").write_bytes(whole[:-8])
    with pytest.raises(FormatError):
        open_word_vectors(tmp_path / "cut.bin")
    (tmp_path / "empty.bin").write_bytes(b"")
    with pytest.raises(FormatError):
        open_word_vectors(tmp_path / "empty.bin")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    write_word2vec(tmp_path / "vectors.bin", binary=True)
    with pytest.raises(AvsError, match="no such file of word vectors") as raised:
        open_word_vectors(tmp_path / "vector.bin")
    assert raised.value.next_step == f"did you mean {tmp_path / 'vectors.bin'}?"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("shape.txt", b"4 2", "got:    shape 4 x 2, 4 ids, 48 bytes of float32"),
        ("id.txt", b"red dog", "got:    shape 4 x 3, 2 ids, 48 bytes of float32"),
        ("feature.bin", b"1234", "got:    shape 4 x 3, 4 ids, 4 bytes of float32"),
        ("shape.txt", b"four 3", "got:    four 3"),
    ],
)
def test_a_broken_bigfile(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    folder = write_bigfile(tmp_path / "w")
    (folder / name).write_bytes(content)
    with pytest.raises(FormatError) as raised:
        open_word_vectors(folder)
    assert said in str(raised.value)


def test_a_folder_that_is_no_bigfile(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not a BigFile folder"):
        open_word_vectors(tmp_path)


def test_vectors_that_are_not_finite_are_named(tmp_path: Path) -> None:
    folder = write_bigfile(tmp_path / "w")
    values = np.fromfile(folder / "feature.bin", dtype="<f4").reshape(4, 3)
    values[1, 2] = np.nan
    values.tofile(folder / "feature.bin")
    vectors = open_word_vectors(folder)
    assert vectors.take(["red", "runs"]).shape == (2, 3)
    with pytest.raises(DataError, match="not finite") as raised:
        vectors.take(["red", "dog"])
    assert raised.value.got == "dog"


def test_the_fingerprint_is_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    one, other = write_bigfile(tmp_path / "w"), write_bigfile(tmp_path / "x")
    assert fingerprint_word_vectors(one) == fingerprint_word_vectors(other)
    (other / "id.txt").write_text("red dog runs a", encoding="utf-8")
    assert fingerprint_word_vectors(one) != fingerprint_word_vectors(other)


def test_without_gensim_files_cannot_be_read_but_bigfiles_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_word2vec(tmp_path / "vec.bin", binary=True)
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(MissingDependencyError) as raised:
        open_word_vectors(path)
    assert raised.value.next_step == "pip install 'avs[word2vec]'"
    assert open_word_vectors(write_bigfile(tmp_path / "w")).dim == 3
