from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import DataError, FormatError
from avs.core.ranking import RankedList, Run
from avs.trecvid.editions import edition_names, get_edition
from avs.trecvid.run_file import read_run, read_run_columns
from avs.trecvid.run_xml import Explanation, read_run_xml, render_run_xml

RUC = """<!DOCTYPE videoAdhocSearchResults SYSTEM "http://www-nlpir.nist.gov/projects/tv2018/dtds/x.dtd">
<videoAdhocSearchResults><videoAdhocSearchRunResult trType="D" class="F" pid="RUCMM" priority="1" desc="">
<videoAdhocSearchTopicResult tNum="561" elapsedTime="8.0">
<item seqNum="2" shotId="shot35903_7"/><item seqNum="1" shotId="shot35345_1" />
</videoAdhocSearchTopicResult></videoAdhocSearchRunResult></videoAdhocSearchResults>"""


def attributes_of(edition: str) -> dict[str, str]:
    """Values that every edition takes, for the attributes this one has; the description needs escaping."""
    values = {"desc": 'a "quoted" <b> & caf\u00e9', "pid": "TEAM", "trType": "D"}
    return {
        a.name: values[a.name] if a.name in values else a.values[0] if a.values else "C"
        for a in get_edition(edition).attributes
    }


def run_of(topics: list[str], seed: int, *, most: int = 40) -> Run:
    random = np.random.default_rng(seed)
    lists = {}
    for topic in topics:
        videos = random.choice(9000, size=int(random.integers(1, most)), replace=False) + 8000
        shots = [f"shot{video:05d}_{random.integers(1, 99)}" for video in videos]
        lists[topic] = RankedList.from_scores(topic, shots, random.standard_normal(len(shots)))
    return Run(lists, "T")


def written(tmp_path: Path, data: str | bytes, name: str = "run.xml") -> Path:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("name", edition_names())
@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_reads_back_in_every_edition(tmp_path: Path, name: str, seed: int) -> None:
    edition = get_edition(name)
    run = run_of(list(edition.topic_ids("M") or ("q1", "q2")), seed)
    seconds = {topic: i for i, topic in enumerate(run.lists)}
    path = written(tmp_path, render_run_xml(run, edition, attributes_of(name), elapsed_s=seconds))
    (back,) = read_run_xml(path)
    assert dict(back.attributes) == attributes_of(name)
    assert {r.topic: r.elapsed_time for r in back.results} == {t: str(s) for t, s in seconds.items()}
    assert {t: r.shots for t, r in back.run.lists.items()} == {t: r.shots for t, r in run.lists.items()}
    assert [item.seq_num for item in back.results[0].items] == list(range(1, len(back.results[0].items) + 1))
    assert f"projects/tv{edition.year}/dtds/videoAdhocSearchResults.dtd" in path.read_text()


def test_the_text_of_a_run_of_2024(tmp_path: Path) -> None:
    run = Run({"751": RankedList("751", ("shot17000_2", "shot10384_3"), np.array([2.0, 1.0]))}, "T")
    values = {"trType": "A", "class": "F", "task": "M", "novelty": "C", "pid": "UIT", "priority": "1", "desc": "x & y"}
    box = {("751", "shot17000_2"): Explanation(12, 10, 10, 100, 150)}
    data = render_run_xml(
        run, get_edition("tv24"), {**values, "algo": "C"}, elapsed_s={"751": 5}, explanations=box
    ).decode()
    assert data == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<!DOCTYPE videoAdhocSearchResults SYSTEM "
        '"https://www-nlpir.nist.gov/projects/tv2024/dtds/videoAdhocSearchResults.dtd">\n'
        "<videoAdhocSearchResults>\n"
        '<videoAdhocSearchRunResult trType="A" pid="UIT" class="F" algo="C" task="M" novelty="C" priority="1" '
        'desc="x &amp; y">\n'
        '<videoAdhocSearchTopicResult tNum="751" elapsedTime="5">\n'
        '<item seqNum="1" shotId="shot17000_2" timeStamp="12" ulX="10" ulY="10" lrX="100" lrY="150"/>\n'
        '<item seqNum="2" shotId="shot10384_3"/>\n'
        "</videoAdhocSearchTopicResult>\n"
        "</videoAdhocSearchRunResult>\n"
        "</videoAdhocSearchResults>\n"
    )
    (back,) = read_run_xml(written(tmp_path, data))
    assert back.results[0].items[0].extra == {"timeStamp": "12", "ulX": "10", "ulY": "10", "lrX": "100", "lrY": "150"}


def test_rendering_refuses_what_the_edition_has_not() -> None:
    run = run_of(["501"], 0)
    with pytest.raises(DataError, match="runs of tv16 have no attribute novelty, task"):
        render_run_xml(run, get_edition("tv16"), {"task": "M", "novelty": "C"}, elapsed_s={"501": 1})
    with pytest.raises(DataError, match="topics without elapsed time\n  got:    501"):
        render_run_xml(run, get_edition("tv16"), {}, elapsed_s={})
    with pytest.raises(DataError, match="runs of tv19 cannot have explanations"):
        box = {("501", "shot1_1"): Explanation(0, 0, 0, 1, 1)}
        render_run_xml(run, get_edition("tv19"), {}, elapsed_s={"501": 1}, explanations=box)
    with pytest.raises(DataError, match="a box needs"):
        Explanation(1, 10, 0, 10, 5)


def test_old_runs_of_other_tools_are_read_and_ordered_by_seqnum(tmp_path: Path) -> None:
    path = written(tmp_path, RUC, "old.xml")
    (old,) = read_run_xml(path)
    assert old.attributes["pid"] == "RUCMM" and "task" not in old.attributes
    assert old.run.lists["561"].shots == ("shot35345_1", "shot35903_7")
    columns = read_run_columns(path)["old"]
    assert columns["561"][0] == ["shot35903_7", "shot35345_1"] and columns["561"][1].tolist() == [9997, 9998]


def test_the_kind_of_a_file_is_seen_from_its_content(tmp_path: Path) -> None:
    xml, trec = written(tmp_path, RUC, "a.txt"), written(tmp_path, "1561 0 shot35345_1 1 5 T\n", "b.xml")
    assert read_run(xml).topics == ("561",)
    assert read_run(trec, topics=["561"]).topics == ("561",)
    assert list(read_run_columns(trec)) == ["b"]


def test_several_runs_in_a_file(tmp_path: Path) -> None:
    start, end = RUC.index("<videoAdhocSearchRunResult"), RUC.index("</videoAdhocSearchResults>")
    path = written(tmp_path, RUC[:end] + RUC[start:end] + RUC[end:])
    assert [run.name for run in read_run_xml(path)] == ["run", "run#2"]
    with pytest.raises(FormatError, match="the file has several runs"):
        read_run(path)


def test_faults_come_at_once_with_lines(tmp_path: Path) -> None:
    text = (
        '<videoAdhocSearchRunResult>\n<videoAdhocSearchTopicResult tNum="1">\n<item seqNum="" shotId="a"/>\n'
        '<item seqNum="1"/>\n<item seqNum="99999999999" shotId="a"/>\n</videoAdhocSearchTopicResult>\n'
        '<videoAdhocSearchTopicResult tNum="1"/>\n<videoAdhocSearchTopicResult/>\n</videoAdhocSearchRunResult>'
    )
    with pytest.raises(FormatError) as caught:
        read_run_xml(written(tmp_path, text))
    assert str(caught.value).replace(str(tmp_path) + "/", "") == (
        "run file run.xml: 5 problems\n"
        '  run.xml:3: seqNum "" is not a whole number\n'
        "  run.xml:4: an item without shotId\n"
        '  run.xml:5: seqNum "99999999999" is not a whole number\n'
        "  run.xml:7: topic 1 is repeated\n"
        "  run.xml:8: a topic without tNum\n"
        "  next:   `avs check-run` lists all faults"
    )
    with pytest.raises(FormatError, match="this is a topic file, not a run: were two files swapped"):
        read_run_xml(written(tmp_path, "<topics/>"))
