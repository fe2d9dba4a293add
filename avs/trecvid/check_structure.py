"""The rules of an edition's DTD, checked without fetching it: elements, attributes, and their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from avs.trecvid.editions import OWN, Edition
from avs.trecvid.findings import Finding
from avs.trecvid.run_xml import CONTAINER, ITEM, RUN, TOPIC

if TYPE_CHECKING:
    from lxml.etree import _Element

CHILD = {CONTAINER: RUN, RUN: TOPIC, TOPIC: ITEM, ITEM: None}
DTD_FILE = "videoAdhocSearchResults.dtd"


def check_structure(root: _Element, edition: Edition) -> Iterator[Finding]:
    """The faults that NIST's validating parser would find in a document."""
    yield from _check_doctype(root, edition)
    if root.tag != CONTAINER:
        yield Finding(_line(root), f"the root element is <{root.tag}>, must be <{CONTAINER}>")
    for element in root.iter("*"):
        if element.tag in CHILD:
            yield from _check_children(element)
            yield from _check_attributes(element, edition)


def _line(element: _Element) -> int:
    return element.sourceline or 1


def _check_doctype(root: _Element, edition: Edition) -> Iterator[Finding]:
    url = root.getroottree().docinfo.system_url
    if not url:
        wanted = f'<!DOCTYPE {CONTAINER} SYSTEM "{edition.dtd_url}">'
        yield Finding(1, f"the DOCTYPE is missing, which NIST's validation needs: {wanted}")
    elif not url.endswith(DTD_FILE) or (edition.id not in OWN and f"/tv{edition.year}/" not in url):
        yield Finding(1, f"the DOCTYPE names {url}, must be {edition.dtd_url}")


def _check_children(element: _Element) -> Iterator[Finding]:
    wanted = CHILD[str(element.tag)]
    children = list(element.iterchildren("*"))
    for child in children:
        if child.tag != wanted:
            inside = f"only <{wanted}> is allowed" if wanted else "nothing is allowed"
            yield Finding(_line(child), f"<{child.tag}> inside <{element.tag}>, where {inside}")
    if wanted in (RUN, TOPIC) and not children:
        yield Finding(_line(element), f"<{element.tag}> has no <{wanted}>")
    texts = [element.text, *(child.tail for child in element)]
    if stray := next((text.strip() for text in texts if text and text.strip()), None):
        yield Finding(_line(element), f'text inside <{element.tag}>: "{stray[:40]}"')


def _check_attributes(element: _Element, edition: Edition) -> Iterator[Finding]:
    required, optional, values = _rules(str(element.tag), edition)
    line = _line(element)
    for name in required:
        if name not in element.attrib:
            yield Finding(line, f'attribute "{name}" is missing from <{element.tag}>')
    for key, value in element.attrib.items():
        name = str(key)
        if name not in required and name not in optional:
            known = ", ".join(required + optional) or "none"
            yield Finding(line, f'attribute "{name}" is not one of <{element.tag}> in {edition.id}: {known}')
        elif (allowed := values.get(name)) is not None and value not in allowed:
            yield Finding(line, f'attribute "{name}" is "{value}", must be one of {" ".join(allowed)}')


def _rules(tag: str, edition: Edition) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, tuple[str, ...] | None]]:
    """Required and optional attributes of an element, and the values of the attributes that do not take any text."""
    if tag == RUN:
        required = tuple(a.name for a in edition.attributes if a.required)
        optional = tuple(a.name for a in edition.attributes if not a.required)
        return required, optional, {a.name: a.values for a in edition.attributes}
    if tag == TOPIC:
        return ("tNum", "elapsedTime"), (), {}
    if tag == ITEM:
        return ("seqNum", "shotId"), edition.item_attributes, {}
    return (), (), {}
