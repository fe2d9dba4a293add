"""Texts of shots as a filter of words: what is typed is never syntax, and what a file has wrong is told at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_server import TinyServed, ask
from tiny_stores import shot_ids

from avs.cli.main import main
from avs.core.errors import AvsError, FormatError
from avs.serve.opened import text_table as module
from avs.serve.opened.shot_columns import ShotColumns, columns_of_ids
from avs.serve.opened.text_table import TextTable, open_texts, phrases_of, words_left_out

Serve = Callable[..., httpx.Client]
COLUMNS = columns_of_ids(shot_ids(60))
LINES = (
    ("shot00001_2", "ocr", "STOP sign"),
    ("shot00001_2", "ocr", "Exit to gate 12"),
    ("shot00001_3", "asr", "we stop at the gate"),
    ("shot00002_1", "ocr", "Café Müller"),
    ("shot00002_1", "asr", "the exit sign is <img src=x onerror=alert(1)>"),
)


def written(folder: Path, lines: object = LINES, *, head: str = "") -> Path:
    path = folder / "texts.tsv"
    path.write_text(head + "".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def opened(folder: Path, lines: object = LINES, *, head: str = "", columns: ShotColumns = COLUMNS) -> TextTable:
    return open_texts(written(folder, lines, head=head), columns, folder / "cache", lambda what, done, of: None)


def shots(table: TextTable, words: str, *kinds: str) -> list[str]:
    return [COLUMNS.ids[row] for row in np.flatnonzero(table.matching(words, kinds)).tolist()]


def test_words_and_phrases(tmp_path: Path) -> None:
    table = opened(tmp_path, head="shot\tkind\ttext\n")
    assert table.kinds == {"ocr": 3, "asr": 2} and len(table) == 5
    assert shots(table, "stop") == ["shot00001_2", "shot00001_3"]
    assert shots(table, "stop gate") == ["shot00001_2", "shot00001_3"]  # in two texts of a shot
    assert shots(table, '"stop sign"') == ["shot00001_2"]
    assert shots(table, '"sign stop"') == []
    assert shots(table, "cafe MULLER") == ["shot00002_1"]
    assert shots(table, "exit", "asr") == ["shot00002_1"]
    assert shots(table, "exit sign", "ocr") == ["shot00001_2"]
    assert shots(table, "", "asr") == ["shot00001_3", "shot00002_1"]
    assert shots(table, "sto") == [] and shots(table, "stop*") == ["shot00001_2", "shot00001_3"]
    assert shots(table, 'the "exit') == ["shot00002_1"]  # a quotation that is still being typed
    assert shots(table, "stop OR cafe") == shots(table, "NOT stop") == shots(table, "text:stop") == []
    assert [(one.kind, one.text) for one in table.of(COLUMNS.row("shot00001_2"))] == [
        ("ocr", "STOP sign"), ("ocr", "Exit to gate 12"),
    ]  # fmt: skip
    assert table.of(COLUMNS.row("shot00001_1")) == []


def test_pieces_without_a_letter_or_digit() -> None:
    assert phrases_of('"" * "--" -12 ( "a b" 漢字') == ["-12", "a b", "漢字"]
    assert words_left_out('"" * "--" -12 (') == ["*", "--", "("]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.text("xyz é,.'", min_size=1)), min_size=1),
    st.lists(st.sampled_from(["x", "xy", "y z", "zé", "xx"]), min_size=1, max_size=3),
    st.sampled_from(["", "a", "b"]),
)
def test_as_by_hand(texts, phrases, kind) -> None:
    lines = [(COLUMNS.ids[row], of, text + " x") for row, of, text in texts]
    typed = " ".join(f'"{phrase}"' if " " in phrase else phrase for phrase in phrases)
    with TemporaryDirectory() as folder:
        found = set(
            shots(opened(Path(folder), lines), typed, *([kind] if kind and kind in {o for _, o, _ in lines} else []))
        )

    def words(text: str) -> str:
        return " " + " ".join(re.findall(r"[a-z]+", text.replace("é", "e"))) + " "

    counting = [line for line in lines if not kind or kind not in {o for _, o, _ in lines} or line[1] == kind]
    wanted = {
        shot
        for shot, _, _ in counting
        if all(any(words(phrase) in words(text) for one, _, text in counting if one == shot) for phrase in phrases)
    }
    assert found == wanted


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TextTable:
    return opened(tmp_path_factory.mktemp("texts"))


@given(st.text() | st.text("\"*^:()-+{}ANDORNOTEAR \0\\;'", max_size=30))
def test_nothing_that_is_typed_is_an_error(table: TextTable, words: str) -> None:
    found = table.matching(words, [])
    assert found.shape == (60,)
    if not phrases_of(words):
        assert found.sum() == 3  # as without words: the shots that have a text


def test_all_wrong_lines_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, LINES[:1])
    with open(path, "ab") as file:
        file.write(
            b"shot00009_99\tocr\tx\nshot00001_1\tocr\t \nshot00001_1\tocr\nshot00001_1\t\tx\nshot00001_1\tocr\ta\tb\n"
        )
        file.write(b"shot00001_1\tocr\t\xff\n")
    with pytest.raises(FormatError) as error:
        open_texts(path, COLUMNS, tmp_path / "cache", lambda what, done, of: None)
    said = str(error.value)
    for number, words in (
        (2, "unknown shot"), (3, "the text is empty"), (4, "2 fields"), (5, "the kind is empty"), (6, "4 fields"),
        (7, "0xff"),
    ):  # fmt: skip
        assert f"texts.tsv:{number}: {words}" in said or (f":{number}:" in said and words in said)
    assert "6 problems" in said and not list((tmp_path / "cache").iterdir())
    path.write_text("", encoding="utf-8")
    with pytest.raises(FormatError, match="no texts"):
        open_texts(path, COLUMNS, tmp_path / "cache", lambda what, done, of: None)


def test_too_many_kinds(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="one more than 64"):
        opened(tmp_path, [("shot00001_1", f"kind {n}", "x") for n in range(65)])


def test_the_index_is_built_once_and_anew_of_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []
    build = module._build
    monkeypatch.setattr(module, "_build", lambda *given: (built.append(given[2]), build(*given)))
    opened(tmp_path)
    opened(tmp_path)
    assert len(built) == 1
    opened(tmp_path, LINES[1:])
    opened(tmp_path, LINES[1:], columns=columns_of_ids(shot_ids(50)))
    assert len(set(built)) == 3


@pytest.mark.parametrize("ending", [".sqlite", ".sqlite.manifest.json"])
def test_an_index_that_was_changed_is_built_anew(tmp_path: Path, ending: str) -> None:
    def texts() -> tuple[object, ...]:
        table = opened(tmp_path)
        return [table.of(row) for row in range(len(COLUMNS))], shots(table, "gate"), table.kinds

    made = texts()
    (file,) = (tmp_path / "cache").glob(f"*{ending}")
    whole = file.read_bytes()
    for spoiled in (whole[: len(whole) // 2], whole.replace(b"gate", b"date"), whole.replace(b"sha256", b"sha255")):
        file.write_bytes(spoiled)
        assert texts() == made


def test_what_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        raise AvsError("stopped")

    with pytest.raises(AvsError, match="stopped"):
        open_texts(written(tmp_path), COLUMNS, tmp_path / "cache", stop)
    assert not list((tmp_path / "cache").iterdir())


def test_words_as_a_filter_of_a_question(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    client = serve(text_table=written(tmp_path))
    assert client.get("/api/v1/status").json()["texts"] == {"ocr": 3, "asr": 2}
    whole = ask(client, "a red circle", topic="661")
    found = ask(client, "a red circle", topic="661", filter={"words": "exit sign"})
    rank = {one["shot"]: one["rank"] for one in whole["results"]}
    assert {one["shot"] for one in found["results"]} == {"shot00001_2", "shot00002_1"}
    assert [one["shot"] for one in found["results"]] == sorted(("shot00001_2", "shot00002_1"), key=rank.__getitem__)
    assert found["taken"] == [{"filter": "words", "shots": 58}] and found["stamp"] == "manual"
    assert found["measures"]["all"] == whole["measures"]["all"] and found["list"] != whole["list"]
    kinds = ask(client, "a red circle", filter={"kinds": ["asr"]})
    assert kinds["taken"] == [{"filter": "kinds", "shots": 58}] and kinds["total"] == 2
    both = ask(client, "a red circle", filter={"words": "exit", "kinds": ["asr"], "videos": ["00002"]})
    assert [one["shot"] for one in both["results"]] == ["shot00002_1"]
    none = ask(client, "a red circle", filter={"words": "nowhere"})
    assert none["total"] == 0 and none["taken"] == [{"filter": "words", "shots": 60}]
    signs = ask(client, "a red circle", filter={"words": "* --"})
    assert signs["total"] == 60 and signs["taken"] == []
    assert "*: has no letter or digit, and is not looked for" in signs["warnings"]
    parts = ask(client, parts=[{"text": "a"}, {"text": "b"}], filter={"words": "stop"})
    assert {one["shot"] for one in parts["results"]} <= {"shot00001_2", "shot00001_3"}
    facts = client.get("/api/v1/shots/shot00002_1").json()
    assert facts["texts"] == [{"kind": kind, "text": text} for _, kind, text in LINES[3:]]
    wrong = client.post("/api/v1/search", json={"parts": [{"text": "a"}], "filter": {"kinds": ["speech"]}})
    assert wrong.status_code == 404 and "ocr, asr" in wrong.text


def test_without_texts(shared_client: httpx.Client) -> None:
    refused = shared_client.post("/api/v1/search", json={"parts": [{"text": "a"}], "filter": {"words": "exit"}})
    assert refused.status_code == 409 and "--text-table" in refused.text
    status = shared_client.get("/api/v1/status").json()
    assert status["texts"] == {} and status["media"]["missing"]["texts"] == "--text-table"
    assert shared_client.get("/api/v1/shots/shot00002_1").json()["texts"] == []


def test_lists_in_files_are_filtered_too(serve: Serve, tiny: TinyServed, tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    stores = ["--store", str(tiny.stores[0])]
    assert main(["search", "--topics", str(tiny.topics), *stores, "-o", str(lists / "file.trec"), "--quiet"]) == 0
    client = serve(text_table=written(tmp_path), lists=[lists])
    for query in ({"words": "exit"}, {"videos": ["00002"]}):
        found = ask(client, "a red circle", by=["file"], topic="661", filter=query)
        wanted = ask(client, "a red circle", by=["one-shot"], topic="661", filter=query)
        assert [one["shot"] for one in found["results"]] == [one["shot"] for one in wanted["results"]] != []


def test_a_table_that_is_wrong_ends_avs_serve(tiny: TinyServed, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    path = written(tmp_path, [("shot00009_1", "ocr", "x"), ("shot00001_1", "ocr", "")])
    command = ["serve", "--store", str(tiny.stores[0]), "--port", "0", "--text-table", str(path)]
    assert main([*command, "--cache", str(tmp_path / "cache"), "--sessions", str(tmp_path / "s")]) == 2
    said = capfd.readouterr().err
    assert "2 problems" in said and "unknown shot" in said and "the text is empty" in said
