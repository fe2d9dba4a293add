"""The rules of an edition's DTD, checked without fetching it: elements, attributes, and their values.

The DTD is written here from the elements and attributes that NIST documents, by edition. NIST's DTD of the container,
videoAdhocSearchResults, was not seen: that it holds one or more runs is inferred.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from avs.trecvid.editions import Edition
from avs.trecvid.findings import Finding
from avs.trecvid.run_xml import CONTAINER, ITEM, RUN, TOPIC

if TYPE_CHECKING:
    from lxml.etree import _Element

CHILD = {CONTAINER: RUN, RUN: TOPIC, TOPIC: ITEM, ITEM: None}


def dtd_text(edition: Edition) -> str:
    """The DTD of an edition's runs."""
    lines = [f"<!ELEMENT {CONTAINER} ({RUN}+)>", f"<!ELEMENT {RUN} ({TOPIC}+)>", f"<!ELEMENT {TOPIC} ({ITEM}*)>"]
    lines += [f"<!ELEMENT {ITEM} EMPTY>"]
    for tag in (RUN, TOPIC, ITEM):
        required, optional, values = _rules(tag, edition)
        for name in required + optional:
            allowed = values.get(name)
            form = f"({'|'.join(allowed)})" if allowed else "CDATA"
            lines.append(f"<!ATTLIST {tag} {name} {form} {'#REQUIRED' if name in required else '#IMPLIED'}>")
    return "\n".join(lines)


def check_dtd(root: _Element, edition: Edition) -> Iterator[Finding]:
    """What the DTD refuses, in the words of lxml."""
    from lxml import etree

    dtd = etree.DTD(io.StringIO(dtd_text(edition)))
    if not dtd.validate(root):
        yield from (Finding(error.line, f"the DTD refuses this: {error.message}") for error in dtd.error_log)


def check_structure(root: _Element, edition: Edition) -> Iterator[Finding]:
    """What the DTD refuses, in words that say what to write."""
    from lxml import etree

    name = etree.QName(root).localname
    if name != CONTAINER:
        yield Finding(_line(root), f"the root element is <{name}>, must be <{CONTAINER}>")
    for element in root.iter("*"):
        if element.tag in CHILD:
            yield from _check_children(element)
            yield from _check_attributes(element, edition)


def _line(element: _Element) -> int:
    return element.sourceline or 1


def _check_children(element: _Element) -> Iterator[Finding]:
    wanted = CHILD[str(element.tag)]
    children = list(element.iterchildren("*"))
    for child in children:
        if child.tag != wanted:
            inside = f"only <{wanted}> is allowed" if wanted else "nothing is allowed"
            yield Finding(_line(child), f"<{child.tag}> inside <{element.tag}>, where {inside}")
    if wanted in (RUN, TOPIC) and not children:
        yield Finding(_line(element), f"<{element.tag}> has no <{wanted}>")
    if wanted is None and not children and (element.text or len(element)):
        what = f"<{element.tag}> must be empty, without even a space or a comment: write <{element.tag} .../>"
        yield Finding(_line(element), what)


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
