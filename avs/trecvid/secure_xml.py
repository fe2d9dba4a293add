"""XML from strangers: no entities, no network, no DTD, no huge trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avs.core.errors import FormatError, Problems

if TYPE_CHECKING:
    from lxml.etree import _Element


def looks_like_xml(data: bytes) -> bool:
    """Whether a file is XML rather than columns of text."""
    return data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def parse_xml(data: bytes, name: str) -> _Element:
    """The root of a document; elements know their `sourceline`.

    Raises:
        FormatError: not well-formed (every message with its line), or it declares a DTD of its own inside, which is how
            entity bombs and reads of local files are made.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        root = etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        problems = Problems(f"{name} is not well-formed XML")
        for entry in parser.error_log or [error]:
            line, what = getattr(entry, "line", None) or error.lineno, getattr(entry, "message", None) or str(error)
            problems.add(f"{name}:{line}", what)
        problems.raise_if_any(FormatError)
        raise
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for part in (declared.iterentities, declared.iterelements) for _ in part()):
        raise FormatError(
            "the file declares entities or elements of its own, which is refused for safety",
            where=name,
            next_step="remove everything between [ and ] from its DOCTYPE",
        )
    entity = next(iter(root.iter(etree.Entity)), None)
    if entity is not None:
        raise FormatError("an entity that nothing defines", where=f"{name}:{entity.sourceline}", got=entity.text)
    return root
