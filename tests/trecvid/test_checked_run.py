from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import ConfigError, FormatError
from avs.core.ranking import RankedList, Run
from avs.trecvid.check import check_run
from avs.trecvid.checked_run import checked_run, read_elapsed, run_file_name
from avs.trecvid.editions import get_edition, team_of
from avs.trecvid.run_xml import Explanation
from avs.trecvid.valid_shots import ValidShots

CUSTOM, TV24 = get_edition("custom"), get_edition("tv24")
SHOTS = ValidShots({"a": range(1, 2001)}, frozenset(), "table")
VALUES = {"trType": "D", "class": "F", "task": "M", "novelty": "C", "pid": "TEAM", "priority": "1", "desc": "a run"}


def run_of(counts: dict[str, int]) -> Run:
    lists = {
        topic: RankedList(topic, tuple(f"shota_{n + 1}" for n in range(count)), -np.arange(float(count)))
        for topic, count in counts.items()
    }
    return Run(lists, "T")


def test_a_submission_is_named_checked_and_cut_to_the_limit() -> None:
    checked = checked_run(
        run_of({"q1": 1200, "q2": 3}), CUSTOM, VALUES, SHOTS, topics=["q2", "q1"], elapsed_s={"q1": 1, "q2": 2}
    )
    assert checked.file_name == "F_M_C_D_TEAM.custom_1.xml" and checked.cut_topics == ("q1",)
    assert checked.report.ok and (checked.report.topics, checked.report.items) == (2, 1003)
    text = checked.data.decode()
    assert text.index('tNum="q2"') < text.index('tNum="q1"')
    assert 'seqNum="1000" shotId="shota_1000"' in text and "shota_1001" not in text
    assert check_run(checked.data, CUSTOM, SHOTS, topics=["q1", "q2"]).ok


def test_topics_missing_empty_and_foreign_come_at_once() -> None:
    with pytest.raises(FormatError) as caught:
        checked_run(
            run_of({"q1": 0, "q9": 1}), CUSTOM, VALUES, SHOTS, topics=["q1", "q2"], elapsed_s={"q1": 1, "q2": 1}
        )
    assert str(caught.value) == (
        "run T: 3 problems\n  topic q1: its list is empty\n  topic q2: no list\n  topic q9: not among the topics\n"
        "  next:   give one list for each topic of the topic file, and no other"
    )


def test_what_the_check_refuses_is_never_made() -> None:
    few = ValidShots({"a": range(1, 3)}, frozenset(), "table")
    box = {("q1", "shota_1"): Explanation(1, 0, 0, 5, 5)}
    with pytest.raises(FormatError) as caught:
        checked_run(
            run_of({"q1": 3}), CUSTOM, {**VALUES, "class": "X"}, few, topics=["q1"], elapsed_s={"q1": 1},
            explanations=box,
        )  # fmt: skip
    assert str(caught.value) == (
        "X_M_C_D_TEAM.custom_1.xml (not written): 2 problems\n"
        '  X_M_C_D_TEAM.custom_1.xml (not written):4: attribute "class" is "X", must be one of M F R\n'
        "  X_M_C_D_TEAM.custom_1.xml (not written):8: invalid shot ID [shota_3] for query q1 in run# 1 of TEAM: "
        "video a has shots 1..2\n"
        "  next:   correct the ranked list or the options; nothing was written"
    )


def test_a_year_needs_its_own_topics() -> None:
    with pytest.raises(FormatError, match="missing results for query 752"):
        shots = ValidShots({"07476": range(1, 5)}, frozenset(), "table")
        run = Run({"751": RankedList("751", ("shot07476_1",), np.array([1.0]))}, "T")
        checked_run(run, TV24, VALUES, shots, topics=["751"], elapsed_s={"751": 1})


def test_names_need_what_the_edition_needs() -> None:
    assert run_file_name(get_edition("tv23"), VALUES) == "F_M_C_D_TEAM.23_1.xml"
    with pytest.raises(ConfigError) as caught:
        run_file_name(TV24, {"class": "F", "pid": "../x", "priority": "1", "desc": "a b", "trType": "D", "lab": "x"})
    assert str(caught.value) == (
        "a run of tv24: 4 problems\n"
        '  --pid: must be letters, digits, "_" and "-", the first a letter or digit; got "../x"\n'
        "  --task: required, one of M P\n"
        "  --novelty: required, one of N C\n"
        "  --lab: runs of tv24 have no such attribute: leave it out"
    )
    with pytest.raises(ConfigError, match="--algo: runs of tv23 have no such attribute"):
        run_file_name(get_edition("tv23"), {**VALUES, "algo": "C"})


@pytest.mark.parametrize("edition", ["tv16", "tv24", "mini"])
@pytest.mark.parametrize("pid", ["TEAM", "DMT_CUC_01", "Poly-Smart", "9lab", "A_X"])
def test_the_team_can_be_read_back_from_a_run_id(edition: str, pid: str) -> None:
    year = get_edition(edition)
    values = {name: value for name, value in VALUES.items() if year.attribute(name)} | {"pid": pid}
    assert team_of(run_file_name(year, values)) == pid


@pytest.mark.parametrize(
    ("edition", "pid", "error"),
    [
        (
            "tv24",
            "TEAM_A.1",
            '--pid: must be letters, digits, "_" and "-", the first a letter or digit; got "TEAM_A.1"',
        ),
        ("tv24", "_A", "--pid: must be letters"),
        ("tv16", "A_B_X", "the team cannot be told from the run id\n  where:  --pid\n  got:    F_D_A_B_X.16_1"),
    ],
)
def test_a_team_that_cannot_be_read_back_is_refused(edition: str, pid: str, error: str) -> None:
    year = get_edition(edition)
    values = {name: value for name, value in VALUES.items() if year.attribute(name)} | {"pid": pid}
    with pytest.raises(ConfigError) as caught:
        run_file_name(year, values)
    assert error in str(caught.value)


def test_elapsed_seconds(tmp_path: Path) -> None:
    assert read_elapsed("0.3", ["1", "2"]) == {"1": 1, "2": 1}
    assert read_elapsed("5", ["1"]) == {"1": 5}
    path = tmp_path / "s"
    path.write_text("1 4.01\r\n\n2 0\n3 9\n")
    assert read_elapsed(str(path), ["1", "2"]) == {"1": 5, "2": 0}
    path.write_text("1 -4\n2 x\n3\n")
    with pytest.raises(FormatError) as caught:
        read_elapsed(str(path), ["7"])
    assert str(caught.value).replace(str(path), "s") == (
        "elapsed seconds s: 4 problems\n"
        "  s:1: expected a topic and its seconds, got '1 -4'\n"
        "  s:2: expected a topic and its seconds, got '2 x'\n"
        "  s:3: expected a topic and its seconds, got '3'\n"
        "  s: no line for topic 7"
    )
