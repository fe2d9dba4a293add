"""The file of a judge's answers: found again, shared, and mended after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import FormatError
from avs.reranking.judge_cache import HEADER, Candidate, JudgeCache, short_hash

DOG, CAT = Candidate("a dog", "shot00001_1", "hash 0.5"), Candidate("a cat", "shot00001_1", "hash 0.5")


def test_answers_are_found_again_for_the_same_question_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "judged.tsv"
    JudgeCache(path, "one").add([DOG, CAT], [0.25, 1e-7])
    again = JudgeCache(path, "one")
    assert (again.get(DOG), again.get(CAT), len(again)) == (0.25, 1e-7, 2)
    assert again.get(Candidate("a dog", "shot00001_2", "hash 0.5")) is None
    assert again.get(Candidate("a dog", "shot00001_1", "hash 0.7")) is None
    assert path.read_text(encoding="utf-8").splitlines()[0] == HEADER


@pytest.mark.parametrize("yes", [0.0, 1.0, 1 / 3, 0.1 + 0.2, 1e-12, 1 - 1e-12, 5e-324])
def test_an_answer_is_the_same_before_and_after_it_was_read(tmp_path: Path, yes: float) -> None:
    first = JudgeCache(tmp_path / "judged.tsv", "one")
    first.add([DOG], [yes])
    assert JudgeCache(first.path, "one").get(DOG) == first.get(DOG) == pytest.approx(yes, rel=1e-8)


def test_two_judges_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "judged.tsv"
    one, other = JudgeCache(path, "one"), JudgeCache(path, "other")
    one.add([DOG], [0.25])
    other.add([DOG, CAT], [0.75, 0.5])
    one.add([CAT], [0.125])
    assert [JudgeCache(path, "one").get(question) for question in (DOG, CAT)] == [0.25, 0.125]
    assert [JudgeCache(path, "other").get(question) for question in (DOG, CAT)] == [0.75, 0.5]
    assert path.read_text(encoding="utf-8").count(HEADER) == 1


@pytest.mark.parametrize("left", [1, 20, 40])
def test_what_a_kill_leaves_of_a_line_is_ignored_and_cut_off(tmp_path: Path, left: int) -> None:
    path = tmp_path / "judged.tsv"
    JudgeCache(path, "one").add([DOG, CAT], [0.25, 0.5])
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole[: -len(last)] + last[:left])
    cache = JudgeCache(path, "one")
    assert (cache.get(DOG), cache.get(CAT)) == (0.25, None)
    cache.add([CAT], [0.5])
    assert path.read_bytes() == whole


def test_a_header_cut_short_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "judged.tsv"
    path.write_text(HEADER[:9], encoding="utf-8")
    JudgeCache(path, "one").add([DOG], [0.25])
    assert JudgeCache(path, "one").get(DOG) == 0.25
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "qrels"
    path.write_text("1661 0 shot00001_1 1 0\n", encoding="utf-8")
    with pytest.raises(FormatError, match="not a file of a judge's answers"):
        JudgeCache(path, "one")
    assert path.read_text(encoding="utf-8") == "1661 0 shot00001_1 1 0\n"


def test_all_damaged_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "judged.tsv"
    cache = JudgeCache(path, "one")
    cache.add([DOG], [0.25])
    key = f"{short_hash('one')}\t{short_hash('a')}\tshot00001_1\t{short_hash('b')}"
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{key}\t1.5\n{key}\n{key}\t0.5\n{key}\tnan\n")
    with pytest.raises(FormatError) as caught:
        JudgeCache(path, "one")
    assert all(f"{path}:{number}" in str(caught.value) for number in (3, 4, 6))
    assert f"{path}:5" not in str(caught.value)
