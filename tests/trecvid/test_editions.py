from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avs.core.errors import ConfigError
from avs.trecvid.editions import edition_names, editions_with_topics, get_edition

MAIN = {
    "tv16": (501, 530), "tv17": (531, 560), "tv18": (561, 590), "tv19": (611, 640), "tv20": (641, 660),
    "tv21": (661, 680), "tv22": (701, 730), "tv23": (731, 750), "tv24": (751, 770), "tv25": (751, 770),
    "mini": (901, 930),
}  # fmt: skip


def test_every_edition_and_its_main_topics() -> None:
    assert edition_names() == (*(f"tv{year}" for year in range(16, 26)), "mini", "custom")
    assert {name: get_edition(name).topics["M"] for name in MAIN} == MAIN
    assert get_edition("tv21").topic_ids("P") == tuple(str(n) for n in range(591, 611))
    assert get_edition("tv24").topic_ids("P") == tuple(str(n) for n in range(681, 701))
    assert "P" not in get_edition("tv25").topics
    assert get_edition("custom").topic_ids("M") is None


def test_topic_ids_of_tv24_are_nists(shared: Callable[[str], Path]) -> None:
    for task in ("M", "P"):
        ids = tuple(shared(f"nist/adhoc.features.{task}").read_text().split())
        assert get_edition("tv24").topic_ids(task) == ids


def test_attributes_change_over_the_years() -> None:
    names = {name: [a.name for a in get_edition(name).attributes] for name in edition_names()}
    assert names["tv16"] == names["tv18"] == ["trType", "class", "pid", "priority", "desc"]
    assert names["tv19"] == names["tv23"] == ["trType", "class", "task", "novelty", "pid", "priority", "desc"]
    assert set(names["tv24"]) == {*names["tv23"], "algo"} and names["custom"] == names["tv25"] == names["tv24"]

    def values(edition: str, name: str) -> tuple[str, ...] | None:
        attribute = get_edition(edition).attribute(name)
        return attribute.values if attribute else None

    assert values("tv16", "class") == ("M", "F") and values("tv18", "class") == ("M", "F", "R")
    assert [len(values(e, "priority") or ()) for e in ("tv16", "tv20", "tv24")] == [10, 15, 16]
    algo = get_edition("tv24").attribute("algo")
    assert algo is not None and not algo.required and algo.values is None
    assert "timeStamp" not in get_edition("tv19").item_attributes and "timeStamp" in get_edition("tv20").item_attributes


def test_attributes_of_tv20_are_those_of_nists_dtd(shared: Callable[[str], Path]) -> None:
    from lxml import etree

    with open(shared("nist/videoAdhocSearchRunResult.dtd"), "rb") as file:
        dtd = etree.DTD(file)
    edition = get_edition("tv20")
    elements = {element.name: {a.name: a for a in element.iterattributes()} for element in dtd.iterelements()}
    run = elements["videoAdhocSearchRunResult"]
    assert set(run) == {a.name for a in edition.attributes}
    for attribute in edition.attributes:
        assert (run[attribute.name].itervalues and tuple(run[attribute.name].itervalues())) == (attribute.values or ())
        assert (run[attribute.name].default == "required") == attribute.required
    assert set(elements["item"]) == {"seqNum", "shotId", *edition.item_attributes}


def test_run_ids() -> None:
    values = {"class": "F", "task": "M", "novelty": "C", "trType": "D", "pid": "PolySmartAndVIREO", "priority": "1"}
    assert get_edition("tv24").run_id(values) == "F_M_C_D_PolySmartAndVIREO.24_1"
    assert get_edition("tv16").run_id(values) == "F_D_PolySmartAndVIREO.16_1"
    assert get_edition("mini").run_id(values) == "F_M_C_D_PolySmartAndVIREO.mini_1"


def test_unknown_editions_get_a_hint() -> None:
    assert get_edition("TV24").id == "tv24"
    with pytest.raises(ConfigError) as caught:
        get_edition("tv2024")
    assert str(caught.value).startswith('unknown edition "tv2024"; did you mean "tv24"?\n  wanted: tv16, tv17, ')


@pytest.mark.parametrize("name", ["tv26", "TV26", "tv15", "tv2", "2026", "tv2026", "trecvid"])
def test_no_hint_leads_to_another_year(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        get_edition(name)
    assert str(caught.value).startswith(f'unknown edition "{name}"\n  wanted: tv16, ')
    assert caught.value.next_step == (
        f"describe {name} in a YAML (topics/README.md), and give it wherever --edition or --fit-on is: "
        f"--edition-file my.yaml"
    )


def test_tasks_and_hints() -> None:
    edition = get_edition("tv24")
    assert [edition.task_of(topic) for topic in ("751", "681", "608", "x", "0751")] == ["M", "P", None, None, "M"]
    assert get_edition("custom").task_of("anything") == "M"
    assert edition.describe_topics() == "751..770 (main), 681..700 (progress)"
    assert editions_with_topics(["751", "770"]) == ["tv24", "tv25"]


@pytest.mark.parametrize(
    ("edition", "shot", "reason"),
    [
        ("tv24", "shot07476_1", None),
        ("tv24", "shot7476_1", "a video id has 5 digits, as in shot07476_1: with 4 it matches no judgment"),
        ("tv24", "shot00001_1", "V3C2 has videos 07476..17235"),
        ("tv21", "shot07476_1", "V3C1 has videos 00001..07475"),
        ("tv24", "shot07476_0", "shots count from 1"),
        ("tv24", "shot07476_01", "a shot number has no leading zero"),
        ("tv24", "shot07476_", "a shot id has the form shot07476_1"),
        ("tv24", "", "a shot id has the form shot07476_1"),
        ("tv24", "7476_1", "a shot id has the form shot07476_1"),
        ("tv24", "shotabcde_1", "a video id of V3C2 is a number"),
        ("tv16", "shot35903_7", None),
        ("tv16", "shot035903_7", "a video id of IACC.3 has no leading zero, as in shot123_1"),
        ("mini", "shot00001_1", None),
        ("custom", "shotmy.video-1_3", None),
    ],
)
def test_shot_ids_by_collection(edition: str, shot: str, reason: str | None) -> None:
    assert get_edition(edition).collection.problem(shot) == reason


def test_the_table_of_topics_readme_says_what_the_data_says() -> None:
    readme = Path(__file__).resolve().parents[2] / "topics" / "README.md"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in readme.read_text().splitlines()]
    documented = {row[0]: row[1:] for row in rows if row[0] in edition_names()}
    assert tuple(documented) == edition_names()
    for name, (main, progress, collection, qrels) in documented.items():
        edition = get_edition(name)
        spans = {task: f"{first}-{last}" for task, (first, last) in edition.topics.items()}
        assert (main, progress) == (spans.get("M", "any"), spans.get("P", ""))
        assert collection == edition.collection.name or edition.id == "mini"
        assert qrels == ", ".join(edition.scored_with)
