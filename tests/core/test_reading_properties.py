"""What holds for every id, shot table, BigFile, store and config: written, read, or refused by an AvsError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from tiny_stores import make_store, without_hashes

from avs.core.bigfile import BigFile, write_bigfile
from avs.core.config import load_config
from avs.core.errors import AvsError, FormatError
from avs.core.ids import format_shot_id, natural_key, not_shot_ids, parse_shot_id
from avs.core.shots import ShotTable, read_shot_table, write_shot_table
from avs.core.store import FeatureStore

VIDEOS = st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,6}", fullmatch=True)
WORDS = st.sampled_from(
    ["shot1_1", "shot00123_45", "shot1_0", "shot1_01", "shot_1", "shot1_", "shota_b_2", "shot-1_1", "shot../x_1", "1",
     "../../etc/passwd", "shot1_1\0", "shoté_1", "shot1_１", "shot1_1000000000"]
)  # fmt: skip
SPACES = st.sampled_from([" ", "\n", "\t", "\r\n", "\x85", "\u2028", "\x1c", "  "])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("read")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of ten shots without hashes, so that only the reading of its ids can find a fault."""
    folder = tmp_path_factory.mktemp("store") / "shot"
    make_store(folder, np.ones((10, 4)))
    return without_hashes(folder)


def is_shot_id(word: str) -> bool:
    try:
        parse_shot_id(word)
    except FormatError:
        return False
    return True


@given(VIDEOS, st.integers(1, 999_999_999))
def test_a_shot_id_is_parsed_into_what_it_was_made_of(video: str, number: int) -> None:
    assert parse_shot_id(format_shot_id(video, number)) == (video, number)


@given(st.lists(st.tuples(WORDS | VIDEOS.map("shot{}_7".format), SPACES)))
def test_words_that_are_no_shot_ids_are_found_as_one_by_one(words: list[tuple[str, str]]) -> None:
    text = "".join(word + space for word, space in words)
    assert not_shot_ids(text) == [word for word in text.split() if not is_shot_id(word)]


@given(st.lists(st.text("0129ab_-.", max_size=8), unique=True))
def test_natural_order_is_one_order_of_all_texts(words: list[str]) -> None:
    ordered = sorted(words, key=natural_key)
    assert ordered == sorted(reversed(words), key=natural_key)
    assert len({natural_key(word) for word in words}) == len(words)
    numbers = [word for word in ordered if word.isdigit()]
    assert [int(word) for word in numbers] == sorted(map(int, numbers))


@given(st.lists(st.tuples(VIDEOS, st.integers(1, 99)), min_size=1, unique=True), st.data())
def test_a_shot_table_reads_back_as_it_was(folder: Path, shots: list[tuple[str, int]], data: st.DataObject) -> None:
    times_us = [sorted(data.draw(st.tuples(*[st.integers(0, 10**10)] * 2))) for _ in shots]
    assume(all(start < end for start, end in times_us))
    table = ShotTable(
        [format_shot_id(*shot) for shot in shots],
        [start / 1e6 for start, _ in times_us],
        [end / 1e6 for _, end in times_us],
    )
    write_shot_table(table, folder / "shots.tsv")
    back = read_shot_table(folder / "shots.tsv")
    assert list(back) == list(table) and back.fingerprint == table.fingerprint
    assert sorted(map(parse_shot_id, back.ids)) == sorted(shots)
    assert [shot for video in back.video_ids for shot in back.of_video(video)] == list(back)


FIELD = WORDS | st.sampled_from(["1", "0.0", "2.5", "nan", "inf", "-1", "1e400", "", "00123"])
LINE = st.just(["shot1_1", "1", "0.0", "2.5"]) | st.lists(FIELD, max_size=5)


@example([["shot1_1", "1", "0.0", "inf"]], "\n")
@given(st.lists(LINE, max_size=4), st.sampled_from(["\n", "\r\n", "\r", "\x85"]))
def test_any_shot_table_is_read_or_refused(folder: Path, lines: list[list[str]], end: str) -> None:
    path = folder / "any.tsv"
    text = end.join(map("\t".join, [["shot", "video", "start_s", "end_s"], *lines]))
    path.write_bytes(text.encode())
    try:
        table = read_shot_table(path)
    except FormatError:
        return
    assert all(is_shot_id(shot) for shot in table.ids)
    assert (table.start_s >= 0).all() and (table.start_s < table.end_s).all() and np.isfinite(table.end_s).all()
    assert sorted(table.ids) == sorted(line[0] for line in lines if any(line))  # the last line may be empty


@given(
    st.lists(st.from_regex("[a-z]{1,3}_[0-9]{1,3}", fullmatch=True), min_size=1, unique=True),
    st.integers(1, 4),
    st.data(),
)
def test_rows_of_a_bigfile_come_in_the_order_of_the_request(
    folder: Path, names: list[str], dim: int, data: st.DataObject
) -> None:
    rows = np.arange(len(names) * dim, dtype=np.float32).reshape(len(names), dim)
    cut = data.draw(st.integers(0, len(names)))
    big = write_bigfile(folder / "big", names, [block for block in (rows[:cut], rows[cut:])])
    assert big.ids == tuple(names) and big.spec.dim == dim
    wanted = data.draw(st.lists(st.sampled_from(names)))
    np.testing.assert_array_equal(big.rows(wanted), rows[[names.index(name) for name in wanted]].reshape(-1, dim))


@given(st.lists(st.tuples(WORDS, SPACES), max_size=4), st.text("0123 -.x\n", max_size=8), st.integers(0, 40))
def test_any_bigfile_is_read_or_refused(folder: Path, words: list[tuple[str, str]], shape: str, size: int) -> None:
    for name, content in {
        "id.txt": "".join(word + space for word, space in words).encode(),
        "shape.txt": shape.encode(),
        "feature.bin": bytes(size),
    }.items():
        (folder / name).write_bytes(content)
    for level in ("shot", "frame"):
        try:
            big = BigFile(folder, level=level)  # type: ignore[arg-type]
        except AvsError:
            continue
        assert big.vectors.nbytes == size and not any("/" in name or "\0" in name for name in big.ids)


@given(st.lists(st.tuples(WORDS | st.integers(1, 12).map("shot00001_{}".format), SPACES), min_size=8, max_size=12))
def test_any_ids_of_a_store_are_shot_ids_or_refused(store: Path, words: list[tuple[str, str]]) -> None:
    (store / "ids.txt").write_bytes("".join(word + space for word, space in words).encode())
    try:
        found = FeatureStore(store)
        found.index(found.ids)
    except AvsError:
        return
    assert len(found.ids) == len(set(found.ids)) == 10 and all(map(is_shot_id, found.ids))


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    sizes: list[int] = []


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    title: str
    rate: float = 0.1
    on: bool = False
    parts: dict[str, Inner] = {}


TEXTS = st.text(st.characters(exclude_categories=["C"]), max_size=12)
TEXTS |= st.sampled_from(["no", "1", "~", "a: b", "2001-13-45"])
OUTERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"title": TEXTS},
    optional={
        "rate": st.floats(allow_nan=False, allow_infinity=False),
        "on": st.booleans(),
        "parts": st.dictionaries(TEXTS, st.fixed_dictionaries({"name": TEXTS, "sizes": st.lists(st.integers())})),
    },
)


@given(OUTERS, st.booleans())
def test_a_config_reads_back_as_it_was(folder: Path, data: dict[str, Any], block: bool) -> None:
    (folder / "good.yaml").write_text(yaml.safe_dump(data, allow_unicode=True, default_flow_style=not block), "utf-8")
    assert load_config(folder / "good.yaml", Outer) == Outer.model_validate(data)


PIECES = st.sampled_from(
    ["title: a", "title: b", "rate: 1", "rate: x", "on: yes", "parts:", "  p: {name: n, sizes: [1, 2]}", "  p: &x [*x]",
     "  ? [1, 2]", "- 1", "- {a: 1", "}", "]", "&a", "*a", "*b", "!!python/object:os.system", "!!int x", "---", "...",
     "2001-13-45", "<<: *a", "<<: [1]", "\t", "\0", "é: 1", "? {a: 1}\n: 2", "|", ">", "%YAML 1.3",
     "null", "title: !!binary x", "=", "title: ="]
)  # fmt: skip


@given(st.lists(PIECES, max_size=6))
def test_any_config_is_read_or_refused(folder: Path, pieces: list[str]) -> None:
    path = folder / "any.yaml"
    path.write_bytes("\n".join(pieces).encode())
    try:
        assert isinstance(load_config(path, Outer), Outer)
    except AvsError as error:
        assert "any.yaml" in str(error)
