from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avs.core.errors import AvsError, DataError, FormatError
from avs.core.topic import Topic
from avs.trecvid.topics import read_topics, write_narratives, write_topics

REAL = {
    "tv16.avs.txt": (501, 530), "tv17.avs.txt": (531, 560), "tv18.avs.txt": (561, 590), "tv19.avs.txt": (611, 640),
    "tv19-21.progress.txt": (591, 610), "tv20.avs.txt": (641, 660), "tv21.avs.topics.txt": (661, 680),
    "tv22.avs.topics.txt": (701, 730),
}  # fmt: skip
XML = """<?xml version="1.0"?>
<videoAdhocSearchTopics>
 <videoAdhocSearchTopic num="732"><textDescription text="Find shots of a man"/>
   <narrative>Any  man.</narrative></videoAdhocSearchTopic>
 <videoAdhocSearchTopic num="731"><textDescription>a caf\u00e9 &amp; a dog</textDescription></videoAdhocSearchTopic>
</videoAdhocSearchTopics>"""


def written(tmp_path: Path, text: str | bytes, name: str = "t.txt") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(tmp_path: Path, *args: object, **kwargs: object) -> str:
    with pytest.raises(FormatError) as caught:
        read_topics(*args, **kwargs)  # type: ignore[arg-type]
    return str(caught.value).replace(str(tmp_path) + "/", "")


@pytest.mark.parametrize("name", REAL)
def test_real_topic_files(shared: Callable[[str], Path], name: str) -> None:
    topics = read_topics(shared(f"topics/{name}"))
    first, last = REAL[name]
    assert topics.ids == tuple(str(n) for n in range(first, last + 1))
    assert all(topic.text == topic.text.strip() and len(topic.text.split()) >= 2 for topic in topics)
    edition = f"tv{name[2:4]}" if "progress" not in name else "tv20"
    assert {t.task for t in read_topics(shared(f"topics/{name}"), edition=edition)} == {
        "P" if "progress" in name else "M"
    }


@pytest.mark.parametrize(
    "text",
    [
        "661  a hang glider\n662  a cat",
        "661 a hang glider  \r\n\r\n662 a cat\t\r\n",
        "\ufeff661\ta  hang glider\n662\t a cat\n",
    ],
    ids=["NIST", "RUC, CRLF, trailing spaces", "BOM and tabs"],
)
def test_text_layouts(tmp_path: Path, text: str) -> None:
    topics = read_topics(written(tmp_path, text), edition="tv21")
    assert [(t.id, t.text, t.edition, t.task) for t in topics] == [
        ("661", "a hang glider", "tv21", "M"),
        ("662", "a cat", "tv21", "M"),
    ]


def test_xml(tmp_path: Path) -> None:
    topics = read_topics(written(tmp_path, XML, "tv23.xml"))
    assert list(topics) == [Topic("731", "a caf\u00e9 & a dog"), Topic("732", "a man", "Any man.")]


def test_xml_faults(tmp_path: Path) -> None:
    path = written(tmp_path, '<topics>\n<topic num="x"/>\n<topic num="5"><title/></topic>\n</topics>', "t.xml")
    assert refusal(tmp_path, path) == (
        "topics t.xml: 2 problems\n"
        "  t.xml:2: <topic> has no topic id in its attribute num\n"
        "  t.xml:3: topic 5 has no text"
    )
    path = written(tmp_path, "<runs><run/></runs>", "r.xml")
    assert "r.xml: <runs> has no topic elements" in refusal(tmp_path, path)


def test_a_file_without_ids_is_refused_and_says_how_a_line_looks(tmp_path: Path) -> None:
    path = written(tmp_path, "a hang glider floating\ntwo cats on a bed\n")
    assert refusal(tmp_path, path) == (
        "topics t.txt: 2 problems\n"
        '  t.txt:1: no topic id before "a hang glider floating"\n'
        '  t.txt:2: no topic id before "two cats on a bed"\n'
        "  next:   a line is an id, two spaces, and the text: 661  a hang glider floating in the sky"
    )


def test_duplicates_over_files_empty_texts_and_foreign_topics_come_at_once(tmp_path: Path) -> None:
    first = written(tmp_path, "751  one\n752\n", "a.txt")
    second = written(tmp_path, "753  three\n751  one again\n608  six\n", "b.txt")
    assert refusal(tmp_path, [first, second], edition="tv24") == (
        "topics: 3 problems\n"
        "  a.txt:2: topic 752 has no text\n"
        "  b.txt:2: topic 751 is already at a.txt:1\n"
        "  b.txt:3: topic 608 is not of tv24, which has 751..770 (main), 681..700 (progress)"
    )


def test_topics_of_another_year_name_that_year(tmp_path: Path) -> None:
    path = written(tmp_path, "731  one\n")
    assert refusal(tmp_path, path, edition="tv24").endswith("; all these topics are of tv23")


def test_several_files_make_one_set_and_custom_takes_any_id(tmp_path: Path) -> None:
    files = [written(tmp_path, "q10  ten\n", "a"), written(tmp_path, "q9  nine\n", "b")]
    assert read_topics(files, edition="custom").ids == ("q9", "q10")


def test_narratives(tmp_path: Path) -> None:
    path = written(tmp_path, "731  one\n732  two\n")
    file = written(tmp_path, "732  About two.\n731 About one.\n", "n.txt")
    assert [t.narrative for t in read_topics(path, narratives=file)] == ["About one.", "About two."]
    file = written(tmp_path, "732  About two.\n740  Of another.\n", "n.txt")
    assert refusal(tmp_path, path, narratives=file) == (
        "topics t.txt: 2 problems\n"
        "  n.txt: no narrative for topic 731\n"
        "  n.txt:2: a narrative for topic 740, which is not among the topics"
    )


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    topics = [Topic("901", "a  red \n ball", "One ball."), Topic("902", "two cats", "Two.")]
    write_topics(topics, tmp_path / "t")
    write_narratives(topics, tmp_path / "n")
    assert (tmp_path / "t").read_text() == "901  a red ball\n902  two cats\n"
    back = read_topics(tmp_path / "t", narratives=tmp_path / "n", edition="mini")
    assert [(t.id, t.text, t.narrative) for t in back] == [
        ("901", "a red ball", "One ball."),
        ("902", "two cats", "Two."),
    ]
    with pytest.raises(DataError, match="topics without a narrative\n  got:    903"):
        write_narratives([Topic("903", "x")], tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_empty_missing_and_binary_files(tmp_path: Path) -> None:
    assert "t.txt: has no topics" in refusal(tmp_path, written(tmp_path, " \n"))
    assert "must be UTF-8 text or XML" in refusal(tmp_path, written(tmp_path, b"661  caf\xe9"))
    for encoding in ("utf-16", "utf-16-be"):
        text = "\ufeff661  a dog".removeprefix("\ufeff" if encoding == "utf-16" else "")
        assert "a topic file in UTF-16" in refusal(tmp_path, written(tmp_path, text.encode(encoding)))
    with pytest.raises(AvsError, match="no such topic file"):
        read_topics(tmp_path / "tv23.xml")


def test_a_text_that_no_one_searches_for_is_refused_in_few_words(tmp_path: Path) -> None:
    message = refusal(tmp_path, written(tmp_path, "661  a d\x00g\n662  " + "dog " * 2_500_000 + "\n"))
    assert message == (
        "topics t.txt: 2 problems\n"
        "  t.txt:1: topic 661 contains the control character U+0000: is the file damaged?\n"
        "  t.txt:2: topic 662 has 9,999,999 characters, at most 10,000 are a topic"
    )
    message = refusal(tmp_path, written(tmp_path, "\0" * 1_000_000))
    assert "no topic id before '" in message and len(message) < 1000
    assert len(read_topics(written(tmp_path, f"661  {'x' * 10_000}\n"))) == 1
    (tmp_path / "n.txt").write_text("661  a\x07b\n")
    with pytest.raises(FormatError, match="n.txt:1: topic 661 contains the control character U\\+0007"):
        read_topics(written(tmp_path, "661  a dog\n"), narratives=tmp_path / "n.txt")
