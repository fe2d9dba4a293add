from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import FormatError
from avs.trecvid.secure_xml import looks_like_xml, parse_xml

GROWTH = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
BOMB = f'<!DOCTYPE a [<!ENTITY e0 "ha">{GROWTH}]><a>&e9;</a>'


def test_a_plain_document_with_a_doctype_is_read_and_nothing_is_fetched() -> None:
    root = parse_xml(b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">\n<a>\n<b c="1"/></a>', "f")
    assert (root[0].get("c"), root[0].sourceline) == ("1", 3)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        BOMB.replace("<a>&e9;</a>", '<a b="&e3;"/>'),
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd"> %x;]><a/>',
        "<!DOCTYPE a [<!ELEMENT a ANY>]><a/>",
    ],
    ids=["bomb", "bomb in an attribute", "local file", "parameter entity", "element"],
)
def test_declarations_inside_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"^cannot read f as XML: 1 problem\n  f:\d+: .*(refused for safety|entit)"):
        parse_xml(text.encode(), "f")


def test_an_attribute_bomb_is_refused_before_it_grows() -> None:
    with pytest.raises(FormatError):
        parse_xml(BOMB.replace("<a>&e9;</a>", '<a b="&e9;"/>').encode(), "f")


def test_an_entity_that_only_a_dtd_could_define_is_not_dropped() -> None:
    with pytest.raises(FormatError, match="f:2: undefined entity &eacute;"):
        parse_xml(b'<!DOCTYPE a SYSTEM "x.dtd">\n<a>caf&eacute;</a>', "f")


def test_faults_come_with_lines(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"f:2: .*mismatch"):
        parse_xml(b"<a>\n</b>", "f")
    with pytest.raises(FormatError, match=r"f:1: .*empty"):
        parse_xml(b"", "f")


def test_sniffing() -> None:
    assert looks_like_xml(b"\xef\xbb\xbf\r\n <!DOCTYPE x>") and not looks_like_xml(b"661 0 shot1_1 1 1 T")


def test_a_huge_tree_is_refused() -> None:
    with pytest.raises(FormatError, match="f:1: .*depth"):
        parse_xml(b"<a>" * 1000 + b"</a>" * 1000, "f")


def test_what_the_parser_only_warns_of_is_read() -> None:
    assert parse_xml(b'<a xmlns="x"/>', "f").tag == "{x}a"  # a name that is no absolute address
