"""The plain form of a run's XML: its declaration, its DOCTYPE, and nothing but white space between its elements.

NIST's first stage validates a file with Xerces before any content is looked at. It refuses some forms of XML that other
parsers take: encoding names that are not IANA's, `standalone="yes"`, a DOCTYPE with declarations inside, and references
or CDATA between elements. A file in the plain form means the same to every parser.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from avs.trecvid.editions import Edition
from avs.trecvid.findings import Finding
from avs.trecvid.run_xml import CONTAINER

DECLARATION = re.compile(
    r"<\?xml\s+version\s*=\s*([\"'])1\.0\1(\s+encoding\s*=\s*([\"'])(utf-8|us-ascii|iso-8859-1)\3)?"
    r"(\s+standalone\s*=\s*([\"'])no\6)?\s*\?>",
    re.IGNORECASE,
)
QUOTED = r"\"[^\"]*\"|'[^']*'"
DOCTYPE_TOKEN = rf"<!DOCTYPE(?:[^\[<>\"']|{QUOTED})*(?:\[.*?\]\s*)?>"
TOKEN = re.compile(  # whatever is not plain text
    rf"<!--.*?-->|<\?.*?\?>|<!\[CDATA\[.*?\]\]>|{DOCTYPE_TOKEN}|<(?:[^<>\"']|{QUOTED})*>|&[^;\s]*;", re.DOTALL
)
DOCTYPE = re.compile(rf"<!DOCTYPE\s+{CONTAINER}\s+SYSTEM\s+([\"'])(?P<url>[^\"']*)\1\s*>")
NAMESPACE = re.compile(rf"(?:{QUOTED})|\s(xmlns(?::[^\s=]+)?)\s*=")
WHITE_SPACE = " \t\r\n"  # of XML; str.strip() knows more characters

LineOf = Callable[[int], int]  # a position in the text -> its line


def check_plain_form(data: bytes, edition: Edition) -> Iterator[Finding]:
    """The faults of a well-formed document that the tree of its elements does not show."""
    text = data.decode("utf-8-sig", errors="replace")  # a wrong character changes no line and no markup
    line_of = _line_finder(text)
    declaration = DECLARATION.match(text)
    if text.startswith("<?xml") and declaration is None:
        found = text[: text.find("?>") + 2]
        yield Finding(1, f'the XML declaration is {found}: write <?xml version="1.0" encoding="UTF-8"?>')
    tokens = [(match[0], match.start()) for match in TOKEN.finditer(text)]
    doctype = next(((token, at) for token, at in tokens if token.startswith("<!DOCTYPE")), ("", 0))
    yield from _check_doctype(*doctype, line_of, edition)
    end = 0
    for token, at in tokens:
        yield from _check_between(text[end:at], end, line_of)
        yield from _check_token(token, at, line_of)
        end = at + len(token)


def _line_finder(text: str) -> LineOf:
    """A function from a position to its line, counted from 1."""
    ends = [match.start() for match in re.finditer("\n", text)]
    return lambda at: bisect_left(ends, at) + 1


def _check_doctype(doctype: str, at: int, line_of: LineOf, edition: Edition) -> Iterator[Finding]:
    wanted = f'<!DOCTYPE {CONTAINER} SYSTEM "{edition.dtd_url}">'
    plain = DOCTYPE.fullmatch(doctype)
    if not doctype:
        yield Finding(1, f"the DOCTYPE is missing, which NIST's validation needs: {wanted}")
    elif plain is None:
        yield Finding(line_of(at), f"the DOCTYPE is {' '.join(doctype.split())}, must be {wanted}")
    elif plain["url"] not in (edition.dtd_url, edition.dtd_url.replace("https:", "http:")):
        yield Finding(line_of(at), f"the DOCTYPE names {plain['url']}, must be {edition.dtd_url}")


def _check_between(between: str, at: int, line_of: LineOf) -> Iterator[Finding]:
    if stray := between.strip(WHITE_SPACE):
        shown = f'"{stray[:40]}"' if stray.isprintable() else ascii(stray[:40])
        yield _stray(f"text {shown}", line_of(at + between.index(stray)))


def _check_token(token: str, at: int, line_of: LineOf) -> Iterator[Finding]:
    if token.startswith(("&", "<![CDATA[")):
        yield _stray(token[:40], line_of(at))
    elif "xmlns" in token and token[1] not in "!?" and (name := next(filter(None, NAMESPACE.findall(token)), None)):
        yield Finding(line_of(at), f"{name} declares a namespace: remove it, the DTD has none")


def _stray(what: str, line: int) -> Finding:
    return Finding(line, f"{what} between elements: remove it; only spaces and line ends may be there")
