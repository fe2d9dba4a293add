"""Safe parsing of XML: no entities, no network, no DTD, no huge trees."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from avs.core.errors import FormatError, Problems

if TYPE_CHECKING:
    from lxml.etree import _Element


def is_utf16(data: bytes) -> bool:
    """Whether a file begins as text in UTF-16 does."""
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"<\0", b"\0<"))


def looks_like_xml(data: bytes) -> bool:
    """Whether a file is XML, and not columns of text."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def parse_xml(data: bytes, name: str) -> _Element:
    """The root of a document, whose elements have their `sourceline`.

    Raises:
        FormatError: the faults that `try_parse_xml` returns, each with its line in `name`.
    """
    root, errors = try_parse_xml(data)
    problems = Problems(f"cannot read {name} as XML")
    for line, what in errors:
        problems.add(f"{name}:{line}", what)
    problems.raise_if_any(FormatError)
    assert root is not None  # without a root there are errors
    return root


def try_parse_xml(data: bytes) -> tuple[_Element | None, list[tuple[int, str]]]:
    """The root of a document, or the faults: (line, text) for every error of the parser.

    Besides malformed XML, these are refused: entities and elements declared inside the document, which entity bombs
    and reads of local files use, and undefined entities.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        errors = [(entry.line, entry.message) for entry in parser.error_log if entry.level >= etree.ErrorLevels.ERROR]
        return None, errors or [(error.lineno or 1, error.msg)]
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and (
        any(True for _ in declared.iterentities()) or any(True for _ in declared.iterelements())
    ):
        return None, [(1, "its DOCTYPE declares entities or elements between [ and ]; refused for safety")]
    undefined = [  # the tree shows those of elements; the parser drops those of attributes
        (entry.line, f"undefined entity &{entry.message.split(chr(39))[1]};: write the character itself")
        for entry in parser.error_log
        if entry.type == etree.ErrorTypes.WAR_UNDECLARED_ENTITY
    ]
    return (None if undefined else root), undefined
