from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import FormatError
from avs.trecvid.qrels import read_qrels

GOOD = "1661 0 shot00008_16 3 -1\n1661 0 shot00011_62 1 1\n1662 0 shot00008_16 2 0\n"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "q"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(FormatError) as caught:
        read_qrels(written(tmp_path, text))
    return str(caught.value).replace(str(tmp_path) + "/", "")


@pytest.mark.parametrize(
    "text",
    [GOOD, GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, GOOD.replace(" ", "\t"), GOOD.rstrip(), GOOD + "\n\n"],
    ids=["plain", "crlf", "bom", "tabs", "no last newline", "empty lines"],
)
def test_layouts(tmp_path: Path, text: str) -> None:
    qrels = read_qrels(written(tmp_path, text))
    assert qrels.ids == ("661", "662")
    pool = qrels.topics["661"]
    assert pool.topic == "661" and pool.shots == ("shot00008_16", "shot00011_62")
    assert pool.strata.tolist() == [3, 1] and pool.judgments.tolist() == [-1, 1]
    assert pool.strata.dtype == pool.judgments.dtype == np.int64


def test_topics_whose_lines_do_not_stand_together(tmp_path: Path) -> None:
    qrels = read_qrels(written(tmp_path, "1662 0 a 1 1\n1661 0 b 2 0\n1662 0 c 3 -1\n"))
    assert qrels.ids == ("662", "661")
    assert qrels.topics["662"].shots == ("a", "c") and qrels.topics["662"].strata.tolist() == [1, 3]
    assert qrels.topics["661"].shots == ("b",)


def test_the_leading_one_is_taken_off_only_when_all_ids_have_it(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path, "901 0 a 1 1\n")).ids == ("901",)
    assert read_qrels(written(tmp_path, "1901 0 a 1 1\n")).ids == ("901",)
    assert read_qrels(written(tmp_path, "vbs22-avs-01 0 shot00136_0 1 1\n")).ids == ("vbs22-avs-01",)
    assert read_qrels(written(tmp_path, "101 0 a 1 1\n12345 0 a 1 1\n")).ids == ("101", "12345")
    assert refusal(tmp_path, "1661 0 a 1 1\n662 0 a 1 1\n") == (
        'topic ids with and without a leading "1" are mixed\n  where:  q\n  got:    662 and 1661'
    )


def test_four_columns_are_one_stratum_fully_judged(tmp_path: Path) -> None:
    qrels = read_qrels(written(tmp_path, "1 0 a 1\n1 0 b 0\n1 0 c 2\n"))
    assert qrels.topics["1"].strata.tolist() == [1, 1, 1] and qrels.topics["1"].judgments.tolist() == [1, 0, 2]
    assert "q:2: the judgment -1 needs a stratum (five columns)" in refusal(tmp_path, "1 0 a 1\n1 0 b -1\n")


def test_malformed_lines_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD + "1662 0 shot1\n" + "1662 0 b 1 1 1\n") == (
        "qrels file q: 2 problems\n"
        "  q:4: expected 5 fields, got 3\n"
        "  q:5: expected 5 fields, got 6\n"
        "  next:   a line is: topic 0 shot stratum judgment"
    )
    assert "q:1: expected 5 fields, got 2" in refusal(tmp_path, "a b\n" + GOOD)
    assert 'q:4: the judgment "x" is not a whole number' in refusal(tmp_path, GOOD + "1662 0 b 1 x\n")
    assert 'q:4: the stratum "1.5" is not a whole number' in refusal(tmp_path, GOOD + "1662 0 b 1.5 1\n")
    assert "q:4: the judgment -2 is below -1" in refusal(tmp_path, GOOD + "1662 0 b 1 -2\n")
    assert refusal(tmp_path, "\n").startswith("the qrels file is empty")


def test_a_field_lost_and_one_too_many_are_seen_though_they_add_up(tmp_path: Path) -> None:
    assert "q:2: expected 5 fields, got 4" in refusal(tmp_path, "1661 0 a 1 1\n1661 0 b 1\n1661 0 c 1 0 1\n")


def test_a_shot_judged_in_two_ways_names_both_lines(tmp_path: Path) -> None:
    assert refusal(tmp_path, GOOD + "1661 0 shot00011_62 1 0\n1661 0 shot00008_16 2 -1\n") == (
        "qrels file q: 2 problems\n"
        "  q:4: shot00011_62 of topic 1661 is on line 2 with another stratum and judgment: 1 1 and 1 0\n"
        "  q:5: shot00008_16 of topic 1661 is on line 1 with another stratum and judgment: 3 -1 and 2 -1"
    )


def test_lines_that_stand_twice_are_kept_as_sample_eval_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        pool = read_qrels(written(tmp_path, GOOD + "1661 0 shot00011_62 1 1\n")).topics["661"]
    assert pool.shots.count("shot00011_62") == 2 and len(pool.strata) == 3
    assert "1 repeated lines; each counts twice in its stratum" in caplog.text


def test_real_judgments_of_tv21(shared: Callable[[str], Path]) -> None:
    qrels = read_qrels(shared("tv21/avs.qrels.main.tv21"))
    assert sorted(qrels.ids) == [str(n) for n in range(661, 681)]
    assert sum(len(pool) for pool in qrels.topics.values()) == 124_431
    strata = np.concatenate([pool.strata for pool in qrels.topics.values()])
    judged = np.concatenate([pool.judgments for pool in qrels.topics.values()]) >= 0
    assert np.bincount(strata).tolist() == [0, 15_822, 19_727, 88_882]
    assert np.bincount(strata[judged]).tolist() == [0, 15_822, 19_727, 22_869]


@pytest.mark.parametrize("name", ["vbs2022/qrels.vbs2022", "infap_golden/unsampled_stratum.qrels"])
def test_a_fast_parse_equals_a_naive_one(shared: Callable[[str], Path], name: str) -> None:
    naive: dict[str, list[tuple[str, int, int]]] = {}
    for line in shared(name).read_text().splitlines():
        topic, _, shot, stratum, judgment = line.split()
        naive.setdefault(topic[1:], []).append((shot, int(stratum), int(judgment)))
    fast = {
        topic: list(zip(pool.shots, pool.strata.tolist(), pool.judgments.tolist(), strict=True))
        for topic, pool in read_qrels(shared(name)).topics.items()
    }
    assert fast == naive


def test_mixed_lines_of_many_topics_keep_the_order_of_the_file(tmp_path: Path) -> None:
    lines = [f"1{661 + n % 3} 0 shot1_{n + 1} 1 {n % 2}\n" for n in range(120)]
    qrels = read_qrels(written(tmp_path, "".join(lines)))
    assert qrels.topics["662"].shots == tuple(f"shot1_{n + 1}" for n in range(1, 120, 3))
