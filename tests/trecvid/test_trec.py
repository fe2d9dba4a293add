from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import AvsError, DataError, FormatError
from avs.core.ranking import RankedList, Run
from avs.trecvid.trec import match_topic_ids, read_trec, read_trec_columns, write_trec

GOOD = "661 0 shot00001_2 1 0.9 T\n661 0 shot00001_1 2 0.5 T\n662 0 shot00003_1 1 7 T\n"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "run.trec"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(tmp_path: Path, text: str | bytes, read: Callable[..., object] = read_trec) -> str:
    with pytest.raises(FormatError) as caught:
        read(written(tmp_path, text))
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_columns_keep_the_file_as_it_stands(tmp_path: Path) -> None:
    text = "1661 0 shot00136_0 1 0.5 T\n1662 0 b 1 1 T\n1661 0 shot00136_0 9 0.7 T\n1661 0 a 2 -1e-3 T\n"
    columns = read_trec_columns(written(tmp_path, text))
    assert list(columns) == ["1661", "1662"]
    shots, scores = columns["1661"]
    assert shots == ["shot00136_0", "shot00136_0", "a"]
    assert scores.dtype == np.float64 and scores.tolist() == [0.5, 0.7, -0.001]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace(" ", "\t"),
        GOOD.rstrip("\n"),
        "\n" + GOOD + "\n\n",
    ],
    ids=["plain", "crlf", "bom", "tabs", "no last newline", "empty lines"],
)
def test_layouts(tmp_path: Path, text: str) -> None:
    run = read_trec(written(tmp_path, text))
    assert run.tag == "T"
    assert {topic: ranked.shots for topic, ranked in run.lists.items()} == {
        "661": ("shot00001_2", "shot00001_1"),
        "662": ("shot00003_1",),
    }


def test_ties_go_to_the_larger_id_as_in_sample_eval(tmp_path: Path) -> None:
    text = "1 0 shot1_1 1 5 T\n1 0 shot1_2 2 5 T\n1 0 shot1_10 3 5 T\n"
    assert read_trec(written(tmp_path, text)).lists["1"].shots == ("shot1_2", "shot1_10", "shot1_1")


def test_every_truncated_line_is_named(tmp_path: Path) -> None:
    text = GOOD * 2 + "661 0 shot9\n" + "662 0 shot00003_1 1 7 T extra\n"
    expected = (
        "run file run.trec: 2 problems\n"
        "  run.trec:7: expected 6 fields, got 3\n"
        "  run.trec:8: expected 6 fields, got 7\n"
        "  next:   a line is: topic 0 shot rank score tag"
    )
    assert refusal(tmp_path, text) == expected
    assert refusal(tmp_path, text, read_trec_columns) == expected


def test_a_field_lost_and_one_too_many_are_seen_though_they_add_up(tmp_path: Path) -> None:
    text = "1 0 a 1 2 T\n1 0 b 2 1\n1 0 c 3 0 T T\n"  # 6 + 5 + 7 fields on 3 lines
    assert "run.trec:2: expected 6 fields, got 5" in refusal(tmp_path, text)


@pytest.mark.parametrize("score", ["x", "nan", "inf", "-inf", "1e999", "1_0", "0,5"])
def test_scores_must_be_finite_numbers(tmp_path: Path, score: str) -> None:
    text = GOOD + f"663 0 shot00001_1 1 {score} T\n"
    assert f'run.trec:4: the score "{score}" is not a finite number' in refusal(tmp_path, text, read_trec_columns)


def test_duplicates_contradicting_ranks_and_tags_come_all_at_once(tmp_path: Path) -> None:
    text = "1 0 a 1 2 T\n1 0 b 2 3 T\n1 0 a 3 1 T\n2 0 a x 1 U\n"
    assert refusal(tmp_path, text) == (
        "run file run.trec: 4 problems\n"
        "  run.trec:3: a is repeated for topic 1, first on line 1\n"
        "  run.trec:2: rank 2 of topic 1 scores 3, more than rank 1 with 2; a larger score must mean a better shot\n"
        '  run.trec:4: the rank "x" is not a whole number\n'
        '  run.trec:4: a second tag "U"; the file begins with "T"'
    )


def test_ranks_from_zero_and_lines_in_any_order_are_fine(tmp_path: Path) -> None:
    text = "1 0 b 1 1 T\n2 0 a 0 1 T\n1 0 a 0 2 T\n"
    assert read_trec(written(tmp_path, text)).lists["1"].shots == ("a", "b")


@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_file(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content).startswith("the run file is empty\n  where:  run.trec")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert "not UTF-8 text" in refusal(tmp_path, b"661 0 \xff\xfe 1 1 T\n")


def test_a_missing_file_names_its_nearest_sibling(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    with pytest.raises(AvsError, match=r"did you mean .*run\.trec"):
        read_trec(tmp_path / "run.tre")


def test_topic_ids_are_matched_by_file() -> None:
    known = ["661", "662"]
    assert match_topic_ids(["661", "999"], known) == {"661": "661", "999": "999"}
    assert match_topic_ids(["1661", "1999", "7"], known) == {"1661": "661", "1999": "999", "7": "7"}
    assert match_topic_ids(["1661"], ["1661", "661"]) == {"1661": "1661"}
    assert match_topic_ids(["vbs22-avs-01"], known) == {"vbs22-avs-01": "vbs22-avs-01"}
    with pytest.raises(FormatError, match='with and without the leading "1"') as caught:
        match_topic_ids(["661", "1662"], known)
    assert caught.value.got == "661 and 1662"


def test_read_with_known_topics_takes_the_one_off(tmp_path: Path) -> None:
    path = written(tmp_path, "1661 0 a 1 1 T\n")
    assert read_trec(path).topics == ("1661",)
    assert read_trec(path, topics=["661"]).topics == ("661",)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_reads_back_the_same(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    lists = {}
    for topic in random.choice(1000, size=4, replace=False):
        count = int(random.integers(1, 60))
        shots = [f"shot{v:05d}_{n}" for v, n in random.choice(90, size=(90, 2))[: count * 1]]
        shots = sorted(set(shots))
        scores = random.standard_normal(len(shots)) * 10.0 ** random.integers(-12, 12)
        scores[: len(shots) // 3] = scores[0]  # ties
        dtype = np.float32 if seed % 2 else np.float64
        lists[str(topic)] = RankedList.from_scores(str(topic), shots, scores.astype(dtype))
    write_trec(Run(lists, "tag"), tmp_path / "x.trec")
    back = read_trec(tmp_path / "x.trec")
    assert set(back.topics) == set(lists) and back.tag == "tag"
    for topic, ranked in lists.items():
        assert back.lists[topic].shots == ranked.shots
        assert back.lists[topic].scores.tolist() == ranked.scores.tolist()


def test_written_lines(tmp_path: Path) -> None:
    lists = {t: RankedList(t, ("shot1_2", "shot1_1"), np.array([0.5, 1e-7])) for t in ("10", "9")}
    write_trec(Run(lists, "T"), tmp_path / "x.trec")
    assert (tmp_path / "x.trec").read_text() == (
        "9 0 shot1_2 1 0.5 T\n9 0 shot1_1 2 1e-07 T\n10 0 shot1_2 1 0.5 T\n10 0 shot1_1 2 1e-07 T\n"
    )
    with pytest.raises(DataError, match="must be one word"):
        write_trec(Run(lists, "two words"), tmp_path / "y.trec")
    assert not (tmp_path / "y.trec").exists()


def test_integers_that_float64_cannot_tell_apart_stay_integers_as_in_perl(tmp_path: Path) -> None:
    path = tmp_path / "x"

    def scores(*texts: str) -> list[object]:
        path.write_text("".join(f"1 0 shot1_{n} {n} {text} T\n" for n, text in enumerate(texts, start=1)))
        values: list[object] = read_trec_columns(path)["1"][1].tolist()
        return values

    assert scores("9007199254740993", "+9007199254740992", "-1") == [2**53 + 1, 2**53, -1]
    assert scores("18446744073709551615", "18446744073709551614") == [2**64 - 1, 2**64 - 2]
    for texts in (("9007199254740993", "0.5"), ("18446744073709551617", "1"), ("9007199254740991", "3")):
        assert all(type(score) is float for score in scores(*texts))
    scores("9007199254740993", "9007199254740992")
    with pytest.raises(FormatError, match="x:1: scores of topic 1 differ by less than float64 can hold"):
        read_trec(path)
    scores("9007199254740994", "9007199254740992")
    assert read_trec(path).lists["1"].shots == ("shot1_1", "shot1_2")


def test_equal_ranks_are_taken_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "".join(f"1 0 shot1_{n} {n % 2} {100 - n if n % 2 == 0 else -n} T\n" for n in range(100))
    assert len(read_trec(written(tmp_path, text)).lists["1"]) == 100


def test_real_runs(shared: Callable[[str], Path]) -> None:
    run = read_trec(shared("tv21/RUCMM.run"), topics=[str(n) for n in range(661, 681)])
    assert run.tag == "RUCMM" and run.topics == tuple(str(n) for n in range(661, 681))
    assert {len(ranked) for ranked in run.lists.values()} == {1000}
    assert run.lists["661"].shots[:2] == ("shot00615_76", "shot04375_77")
    team = read_trec_columns(shared("vbs2022/run.vbs2022.IVIST"))
    assert team["1901"][0][0] == "shot11150_0"


def test_a_fast_parse_equals_a_naive_one(shared: Callable[[str], Path]) -> None:
    path = shared("infap_golden/duplicates.run")
    naive: dict[str, list[tuple[str, float]]] = {}
    for line in path.read_text().splitlines():
        topic, _, shot, _, score, _ = line.split()
        naive.setdefault(topic, []).append((shot, float(score)))
    fast = {topic: list(zip(s, v.tolist(), strict=True)) for topic, (s, v) in read_trec_columns(path).items()}
    assert fast == naive
