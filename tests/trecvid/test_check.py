from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avs.core.errors import ConfigError, FormatError
from avs.core.ranking import RankedList, Run
from avs.trecvid.check import check_run
from avs.trecvid.check_structure import dtd_text
from avs.trecvid.editions import edition_names, get_edition
from avs.trecvid.findings import CheckReport, Finding, raise_findings
from avs.trecvid.run_xml import render_run_xml
from avs.trecvid.valid_shots import ValidShots

TV24 = get_edition("tv24")
SHOTS = ValidShots({f"{video:05d}": range(1, 6) for video in range(7476, 7776)}, frozenset(), "table")
VALUES = {"trType": "D", "class": "F", "task": "M", "novelty": "C", "pid": "TEAM", "priority": "1", "desc": "a run"}


def xml(topics: tuple[str, ...] | None = None, **changed: str) -> str:
    """A run of TV24 that passes: line 4 opens the run; topic i starts on line 5 + 4 i and has two items."""
    lists = {t: RankedList(t, ("shot07476_1", "shot07477_2"), np.array([2.0, 1.0])) for t in topics or ids()}
    data = render_run_xml(Run(lists, "T"), TV24, {**VALUES, **changed}, elapsed_s=dict.fromkeys(lists, 5))
    return data.decode()


def ids() -> tuple[str, ...]:
    return TV24.topic_ids("M") or ()


def faults(text: str, **kwargs: object) -> list[str]:
    report = check_run(text.encode(), TV24, SHOTS, name="r", **kwargs)  # type: ignore[arg-type]
    return [f"{finding.line}: {finding.what}" for finding in report.findings]


def test_a_good_run_passes_and_is_counted() -> None:
    report = check_run(xml(algo="C").encode(), TV24, SHOTS, name="r")
    assert report == CheckReport("r", (), 1, 20, 40) and report.ok
    assert report.summary == "1 run, 20 topics, 40 shots"
    assert faults(xml().replace("\n", "\r\n")) == [] and faults("\ufeff" + xml()) == []


@pytest.mark.parametrize("name", edition_names())
def test_a_run_of_every_edition_passes_its_own_check(name: str) -> None:
    edition = get_edition(name)
    first = edition.collection.first_video or 1
    video = str(first).zfill(edition.collection.digits or 0)
    shots = ValidShots({video: range(1, 1001)}, frozenset(), "table")

    def rendered(values: dict[str, str], count: int) -> bytes:
        best = tuple(f"shot{video}_{n}" for n in range(1, count + 1))
        topics = edition.topic_ids("M") or ("q1",)
        lists = {t: RankedList(t, best, -np.arange(float(count))) for t in topics}
        return render_run_xml(Run(lists, "T"), edition, values, elapsed_s=dict.fromkeys(topics, 1))

    values = {a.name: VALUES.get(a.name, "C") for a in edition.attributes}
    assert check_run(rendered(values, 20), edition, shots).findings == ()
    for attribute in edition.attributes:
        left_out = {k: v for k, v in values.items() if k != attribute.name}
        missing = f'attribute "{attribute.name}" is missing from <videoAdhocSearchRunResult>'
        report = check_run(rendered(left_out, 2), edition, shots)
        assert (missing in [finding.what for finding in report.findings]) == attribute.required


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # the DTD
        ('desc="a run"', "", ['4: attribute "desc" is missing from <videoAdhocSearchRunResult>']),
        ('trType="D"', 'trType="Z"', ['4: attribute "trType" is "Z", must be one of A D E F']),
        (
            'priority="1"',
            'priority="17"',
            [f'4: attribute "priority" is "17", must be one of {" ".join(map(str, range(1, 17)))}'],
        ),
        (
            'pid="TEAM"',
            'pid="TEAM" lab="x"',
            [
                '4: attribute "lab" is not one of <videoAdhocSearchRunResult> in tv24: '
                "trType, pid, class, task, novelty, priority, desc, algo"
            ],
        ),
        (
            "tv2024",
            "tv2023",
            [
                "2: the DOCTYPE names https://www-nlpir.nist.gov/projects/tv2023/dtds/videoAdhocSearchResults.dtd, "
                "must be https://www-nlpir.nist.gov/projects/tv2024/dtds/videoAdhocSearchResults.dtd"
            ],
        ),
        ('<item seqNum="1" shotId="shot07476_1"/>', "<item/>", None),
        (
            "<videoAdhocSearchResults>",
            "<videoAdhocSearchResults>words",
            ['3: text "words" between elements: remove it; only spaces and line ends may be there'],
        ),
        (
            '<item seqNum="1" shotId="shot07476_1"/>',
            "<shot/>",
            ["6: <shot> inside <videoAdhocSearchTopicResult>, where only <item> is allowed"],
        ),
        (
            '<item seqNum="1" shotId="shot07476_1"/>',
            '<item seqNum="1" shotId="shot07476_1"><box/></item>',
            ["6: <box> inside <item>, where nothing is allowed"],
        ),
        # team, task, topics
        ('pid="TEAM"', 'pid=""', ["4: empty pid in run# 1"]),
        ('desc="a run"', 'desc=" "', ["4: empty desc in run# 1 of TEAM"]),
        (
            'tNum="758"',
            'tNum="608"',
            [
                "4: missing results for query 758 in run# 1 of TEAM",
                "33: invalid query [608] in run# 1 of TEAM: tv24 has 751..770 (main), 681..700 (progress)",
            ],
        ),
        (
            'tNum="758"',
            'tNum="690"',
            [
                "4: missing results for query 758 in run# 1 of TEAM",
                "33: invalid query [690] in run# 1 of TEAM: it is of the progress task, the run is for the main task",
            ],
        ),
        (
            'tNum="758"',
            'tNum="0758"',
            [
                "4: missing results for query 758 in run# 1 of TEAM",
                "33: invalid query [0758] in run# 1 of TEAM: a topic number has no leading zero and no space",
            ],
        ),
        (
            'tNum="758"',
            'tNum=" 758"',
            [
                "4: missing results for query 758 in run# 1 of TEAM",
                "33: invalid query [ 758] in run# 1 of TEAM: a topic number has no leading zero and no space",
            ],
        ),
        (
            'tNum="758"',
            'tNum="757"',
            [
                "4: missing results for query 758 in run# 1 of TEAM",
                "33: query 757 is repeated in run# 1 of TEAM, first on line 29",
            ],
        ),
        # times and sequence numbers
        (
            '"751" elapsedTime="5"',
            '"751" elapsedTime="5.0"',
            ['5: elapsedTime "5.0" for query 751 in run# 1 of TEAM is not a whole number of seconds'],
        ),
        (
            'seqNum="1"',
            'seqNum="0"',
            ["6: invalid sequence number [0] for query 751 in run# 1 of TEAM: must be in 1..1000"],
        ),
        (
            'seqNum="1"',
            'seqNum=""',
            ["6: empty sequence number [] for query 751 in run# 1 of TEAM: must be in 1..1000"],
        ),
        (
            'seqNum="2"',
            'seqNum="1001"',
            ["7: invalid sequence number [1001] for query 751 in run# 1 of TEAM: must be in 1..1000"],
        ),
        (
            'seqNum="2"',
            'seqNum="1"',
            ["7: sequence number 1 is repeated for query 751 in run# 1 of TEAM, first on line 6"],
        ),
        ('seqNum="2"', 'seqNum="9"', []),  # gaps are allowed
        # shots: those NIST finds, and the two it does not
        (
            "shot07476_1",
            "shot07476_6",
            ["6: invalid shot ID [shot07476_6] for query 751 in run# 1 of TEAM: video 07476 has shots 1..5"],
        ),
        (
            "shot07476_1",
            "shot17000_1",
            ["6: invalid shot ID [shot17000_1] for query 751 in run# 1 of TEAM: table has no video 17000"],
        ),
        (
            "shot07476_1",
            "shot00001_1",
            ["6: invalid shot ID [shot00001_1] for query 751 in run# 1 of TEAM: V3C2 has videos 07476..17235"],
        ),
        (
            "shot07476_1",
            "shot7476_1",
            [
                "6: invalid shot ID [shot7476_1] for query 751 in run# 1 of TEAM: a video id has 5 digits, "
                "as in shot07476_1: with 4 it matches no judgment"
            ],
        ),
        (
            "shot07477_2",
            "shot07476_1",
            ["7: shot shot07476_1 is repeated for query 751 in run# 1 of TEAM, first on line 6"],
        ),
        # boxes
        (
            'seqNum="1" ',
            'seqNum="1" timeStamp="1.5" ulX="1" ulY="2" lrX="3" lrY="4" ',
            [],
        ),
        (
            'seqNum="1" ',
            'seqNum="1" timeStamp="1" ulX="3" ulY="2" lrX="3" lrY="4" ',
            ["6: a box for query 751 in run# 1 of TEAM needs lrX > ulX and lrY > ulY, has 3, 2, 3, 4"],
        ),
        (
            'seqNum="1" ',
            'seqNum="1" elapsedTime="x" ',
            ['6: elapsedTime "x" for query 751 in run# 1 of TEAM is not a number of seconds'],
        ),
        (
            'seqNum="1" ',
            'seqNum="1" ulX="1" ulY="2" ',
            ["6: a box for query 751 in run# 1 of TEAM needs timeStamp, ulX, ulY, lrX and lrY, has ulX, ulY"],
        ),
        (
            'seqNum="1" ',
            'seqNum="1" timeStamp="x" ulX="1.5" ulY="2" lrX="3" lrY="4" ',
            [
                "6: a box for query 751 in run# 1 of TEAM has coordinates that are not whole numbers: 1.5, 2, 3, 4",
                '6: timeStamp "x" for query 751 in run# 1 of TEAM is not a number of seconds',
            ],
        ),
    ],
)
def test_each_rule(before: str, after: str, expected: list[str] | None) -> None:
    text = xml()
    assert before in text
    broken = text.replace(before, after, 1).replace('<?xml version="1.0" encoding="UTF-8"?>', "<?xml version='1.0'?>")
    if expected is None:
        expected = [f'6: attribute "{name}" is missing from <item>' for name in ("seqNum", "shotId")]
    assert faults(broken) == expected


BETWEEN = "6: {} between elements: remove it; only spaces and line ends may be there"
EMPTY = "6: <item> must be empty, without even a space or a comment: write <item .../>"
NAMESPACE = "{} declares a namespace: remove it, the DTD has none"
ITEM, DECLARATION = '<item seqNum="1" shotId="shot07476_1"/>', '<?xml version="1.0" encoding="UTF-8"?>'
DOCTYPE = f'<!DOCTYPE videoAdhocSearchResults SYSTEM "{TV24.dtd_url}">'


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        *((ITEM, f"{ITEM[:-2]}>{inside}</item>", EMPTY) for inside in (" ", "\n", "<!-- why -->", "<?p q?>")),
        *((ITEM, ITEM + text, BETWEEN.format(f"text {text!a}")) for text in "\u00a0\u0085\u2028\u2003"),
        *((ITEM, ITEM + text, BETWEEN.format(text)) for text in ("&#32;", "&#10;", "<![CDATA[ ]]>", "<![CDATA[]]>")),
        *(
            (f"<{tag}", f'<{tag} {name}="http://x"', f"{line}: {NAMESPACE.format(name)}")
            for tag, name, line in (
                ("videoAdhocSearchResults", "xmlns", 3),
                ("videoAdhocSearchResults", "xmlns:xsi", 3),
                ("videoAdhocSearchRunResult", "xmlns:a", 4),
                ("item", "xmlns:xsi", 6),
            )
        ),
        ("<item", '<item xmlns=""', f"6: {NAMESPACE.format('xmlns')}"),
        *(
            ("UTF-8", name, f'1: the XML declaration is <?xml version="1.0" encoding="{name}"?>: write {DECLARATION}')
            for name in ("utf8", "UTF8", "cp1252", "ISO8859-1")
        ),
        (
            '"?>',
            '" standalone="yes"?>',
            f'1: the XML declaration is {DECLARATION[:-2]} standalone="yes"?>: write {DECLARATION}',
        ),
        *(
            (DOCTYPE, doctype, f"2: the DOCTYPE is {doctype}, must be {DOCTYPE}")
            for doctype in (
                DOCTYPE.replace("SearchResults SYS", "SearchRunResult SYS"),
                DOCTYPE.replace("AdhocSearchResults SYS", "adhocsearchresults SYS"),
                DOCTYPE[:-1] + " []>",
                DOCTYPE[:-1] + " [<!ATTLIST item q CDATA #IMPLIED>]>",
            )
        ),
        *(
            (TV24.dtd_url, url, f"2: the DOCTYPE names {url}, must be {TV24.dtd_url}")
            for url in (
                TV24.dtd_url.replace("dtds", "dtd"),
                TV24.dtd_url.replace("www-nlpir.nist.gov", "example.org"),
                "/home/me/tv2024/videoAdhocSearchResults.dtd",
                " " + TV24.dtd_url,
            )
        ),
        ("a run", "a&nbsp;run", "4: not readable as XML: undefined entity &nbsp;: write the character itself"),
    ],
)  # fmt: skip
def test_what_nists_first_stage_refuses_before_it_looks_at_the_content(before: str, after: str, expected: str) -> None:
    """Each was run through NIST's checker with Xerces in front, which refused it."""
    assert before in xml()
    assert faults(xml().replace(before, after, 1)) == [expected]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (DECLARATION + "\n", ""),
        (DECLARATION, "<?xml version='1.0' encoding='utf-8' standalone='no' ?>"),
        ("UTF-8", "ISO-8859-1"),
        (DOCTYPE, f'<!-- <!DOCTYPE a SYSTEM "b"> -->{DOCTYPE}'),
        (DOCTYPE, DOCTYPE.replace('"', "'").replace("https:", "http:").replace(" SYSTEM", "\n SYSTEM")),
        (ITEM, f"{ITEM}<!-- &#32; <![CDATA[ ]]> <a xmlns='b'> --><?p &#32; xmlns='b'?>"),
        (ITEM, f"{ITEM[:-2]}></item>"),
        ("a run", "a &lt; &#233; > b xmlns:a='b'"),
    ],
)
def test_what_nists_first_stage_takes(before: str, after: str) -> None:
    assert before in xml()
    assert faults(xml().replace(before, after, 1)) == []


def test_what_only_the_dtd_refuses_is_said_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avs.trecvid.check.check_structure", lambda root, edition: ())
    assert faults(xml().replace('desc="a run"', "")) == [
        "4: the DTD refuses this: Element videoAdhocSearchRunResult does not carry attribute desc"
    ]


def test_the_dtd_written_here_is_nists(shared: Callable[[str], Path]) -> None:
    from lxml import etree

    def content(dtd: etree.DTD) -> dict[str, object]:
        return {
            element.name: (
                str(element.content and (element.content.left or element.content).name),
                {a.name: (a.default, tuple(a.itervalues())) for a in element.iterattributes()},
            )
            for element in dtd.iterelements()
        }

    ours = content(etree.DTD(io.StringIO(dtd_text(get_edition("tv20")))))
    assert ours.pop("videoAdhocSearchResults") == ("videoAdhocSearchRunResult", {})  # inferred
    with open(shared("nist/videoAdhocSearchRunResult.dtd"), "rb") as file:
        assert ours == content(etree.DTD(file))


def test_document_level_faults() -> None:
    lines = xml().split("\n")
    assert faults("\n".join([lines[0], "", *lines[2:]])) == [
        "1: the DOCTYPE is missing, which NIST's validation needs: <!DOCTYPE videoAdhocSearchResults SYSTEM "
        '"https://www-nlpir.nist.gov/projects/tv2024/dtds/videoAdhocSearchResults.dtd">'
    ]
    bare = "\n".join([lines[0], lines[1], "", *lines[3:-2]])
    assert faults(bare) == ["4: the root element is <videoAdhocSearchRunResult>, must be <videoAdhocSearchResults>"]
    empty = "\n".join([*lines[:3], "</videoAdhocSearchResults>"])
    assert faults(empty) == ["3: <videoAdhocSearchResults> has no <videoAdhocSearchRunResult>"]


def test_more_than_a_thousand_items() -> None:
    lines = xml().split("\n")
    extra = [f'<item seqNum="{n}" shotId="shot{7476 + n // 5:05d}_{n % 5 + 1}"/>' for n in range(1, 1002)]
    text = "\n".join([*lines[:5], *extra, *lines[7:]])
    assert faults(text) == [
        "5: 1001 items for query 751 in run# 1 of TEAM, NIST takes at most 1000",
        "1006: invalid sequence number [1001] for query 751 in run# 1 of TEAM: must be in 1..1000",
    ]


def test_all_faults_of_a_file_come_at_once_in_line_order() -> None:
    text = xml(trType="Q").replace('tNum="751" elapsedTime="5"', 'tNum="751" elapsedTime="0.3"').replace("_2", "_9", 1)
    assert [line.split(":")[0] for line in faults(text)] == ["4", "5", "7"]


@pytest.mark.parametrize(
    ("algo", "warnings"),
    [
        ({}, ["no algo: each sample run of NIST has it, C or V; its DTD may require it"]),
        ({"algo": "BANANA"}, ['algo is "BANANA": the sample runs of NIST have C or V, and no other value']),
        ({"algo": "V"}, []),
    ],
)
def test_an_algo_unlike_that_of_nists_samples_is_a_warning(algo: dict[str, str], warnings: list[str]) -> None:
    report = check_run(xml(**algo).encode(), TV24, SHOTS)
    assert report.ok and report.warnings == tuple(Finding(4, what) for what in warnings)


def test_every_run_of_a_file_is_checked() -> None:
    text = xml()
    start, end = text.index("<videoAdhocSearchRunResult"), text.index("</videoAdhocSearchResults>")
    assert faults(text[:end] + text[start:end].replace("shot07476_1", "shot07476_9", 1) + text[end:]) == [
        "86: a second run: a file is named by the id of its one run; write a file for each",
        "88: invalid shot ID [shot07476_9] for query 751 in run# 2 of TEAM: video 07476 has shots 1..5",
    ]


def test_teams_tasks_and_topics_as_asked_for() -> None:
    assert faults(xml(), pids=["TEAM", "UIT"]) == []
    assert faults(xml(), pids=["TEAMS", "UIT"]) == ['4: pid "TEAM" is not registered; did you mean "TEAMS"?']
    assert faults(xml(), task="P") == ['4: run# 1 of TEAM is for task "M", must be "P"']
    assert faults(xml(), topics=ids()[1:]) == ["5: invalid query [751] in run# 1 of TEAM: not among the topics"]
    report = check_run(xml(task="P").encode(), get_edition("tv25"), SHOTS)
    assert "tv25 has no progress task" in [finding.what for finding in report.findings]


def test_a_topic_without_items_is_taken_but_told() -> None:
    lines = xml().split("\n")
    report = check_run("\n".join([*lines[:5], *lines[7:]]).encode(), TV24, SHOTS)
    assert report.ok and Finding(5, "query 751 has no shot") in report.warnings


def test_xml_that_cannot_be_read() -> None:
    assert faults("<a>\n</b>")[0].startswith("2: not readable as XML: Opening and ending tag mismatch")
    bomb = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>\n<a>&x;</a>'
    assert faults(bomb) == [
        "1: not readable as XML: its DOCTYPE declares entities or elements between [ and ]; refused for safety"
    ]
    assert faults("\x00\x01")[0].startswith("1: expected 6 fields, got 1")
    for data in (xml().encode("utf-16"), xml().encode("utf-16-be"), trec().encode("utf-16")):
        assert check_run(data, TV24, SHOTS).findings == (Finding(1, "the file is in UTF-16: save it in UTF-8"),)
    assert check_run(b"751\xe9", TV24, SHOTS).findings[0].what.startswith("neither XML nor UTF-8 text")


def test_a_table_of_another_collection_is_one_error() -> None:
    with pytest.raises(ConfigError) as caught:
        check_run(xml().encode(), get_edition("tv21"), SHOTS)
    assert str(caught.value) == (
        "the shot table is not of tv21, which searches V3C1\n  where:  table\n"
        "  got:    video 07476: V3C1 has videos 00001..07475"
    )


def trec(prefix: str = "") -> str:
    rows = (("shot07476_1", 2), ("shot07477_2", 1))
    return "".join(f"{prefix}{t} 0 {s} {3 - score} {score} T\n" for t in ids() for s, score in rows)


def test_trec_runs_obey_the_same_rules() -> None:
    assert faults(trec()) == [] and faults(trec("1")) == []
    text = trec().replace("751 0 shot07476_1 1 2 T\n", "751 0 shot7476_1 1 0.5 T\n751 0\n", 1)
    text = text.replace("752 0 shot07477_2 2 1 T", "752 0 shot07476_1 2 nan T")
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("770"))
    assert faults(text) == [
        "1: invalid shot ID [shot7476_1] for query 751: a video id has 5 digits, as in shot07476_1: "
        "with 4 it matches no judgment",
        "1: missing results for query 770 in run T",
        "2: expected 6 fields, got 2",
        "3: the score 1 for query 751 is above the one before it, 0.5",
        "5: shot shot07476_1 is repeated for query 752, first on line 4",
        '5: the score "nan" for query 752 is not a finite number',
    ]
    deep = "".join(f"751 0 shot{7476 + n // 5:05d}_{n % 5 + 1} {n} {-n} T\n" for n in range(1200))
    assert "1001: 1200 shots for query 751, NIST takes at most 1000" in faults(deep)
    assert "1: the file is empty" in faults(" ")
    two = trec().replace("752 0 shot07477_2 2 1 T", "752 0 shot07477_2 2 1 B")
    assert faults(two) == ['4: a second run, tagged "B" after "T"; write a file for each']
    mixed = faults(trec().replace("752 0", "1752 0"))
    assert '1: topic ids with and without the leading "1" of the qrels are mixed: 751 and 1752' in mixed


def test_findings_raise_as_one_error() -> None:
    raise_findings([CheckReport("a", ())])
    with pytest.raises(FormatError) as caught:
        raise_findings([CheckReport("a", ()), CheckReport("b", (Finding(3, "x"),))], next_step="mend it")
    assert str(caught.value) == "b: 1 problem\n  b:3: x\n  next:   mend it"


def test_a_file_on_disk(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    (tmp_path / "r.xml").write_text(xml())
    assert check_run(tmp_path / "r.xml", TV24, SHOTS).name == str(tmp_path / "r.xml")


def test_a_topic_without_a_number() -> None:
    line = xml().split("\n").index('<videoAdhocSearchTopicResult tNum="752" elapsedTime="5">') + 1
    found = faults(xml().replace('tNum="752"', 'tNum=""'))
    assert any(fault.startswith(f"{line}: empty tNum in ") for fault in found), found


def test_a_long_stray_text_is_cut_short() -> None:
    stray = "<![CDATA[" + "x" * 60 + "]]>"
    (found,) = [fault for fault in faults(xml().replace(ITEM, ITEM + stray, 1)) if "CDATA" in fault]
    assert f": <![CDATA[{'x' * 31} between elements: remove it" in found
