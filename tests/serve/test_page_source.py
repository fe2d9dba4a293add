"""The files of the page: small, and none of them can make markup of a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from files import files

from avs.serve.routes.page import STATIC

LINES, LINES_TOGETHER, WIDTH = 300, 2424, 150
FORBIDDEN = (
    r"innerHTML", r"outerHTML", r"insertAdjacentHTML", r"\beval\b", r"new Function", r"style=", r"document\.write",
    r"\son[a-z]+=[\"']", r"setAttribute\(\s*[\"']on", r"javascript:", r"https?://(?!www\.w3\.org/2000/svg)",
)  # fmt: skip


def test_no_file_of_the_page_makes_markup_of_text() -> None:
    for path in files(STATIC, "*"):
        text = path.read_text(encoding="utf-8")
        for pattern in FORBIDDEN:
            found = re.search(pattern, text)
            assert found is None, f"{path.name}: {found.group(0)!r}" if found else ""


def test_the_scripts_are_small() -> None:
    counts = {path.name: path.read_text(encoding="utf-8").splitlines() for path in files(STATIC, "*.js")}
    assert {name: len(lines) for name, lines in counts.items() if len(lines) > LINES} == {}
    assert sum(map(len, counts.values())) <= LINES_TOGETHER
    assert [
        f"{name}:{at}" for name, lines in counts.items() for at, line in enumerate(lines, 1) if len(line) > WIDTH
    ] == []


def colours(text: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w[\w-]*): (#[0-9a-f]{6})", text))


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    light, _, rest = (
        Path(STATIC / "page.css").read_text(encoding="utf-8").partition("@media (prefers-color-scheme: dark)")
    )
    found = colours(light if scheme == "light" else rest)
    texts = [(ink, ground) for ink in ("ink", "soft", "accent", "good", "bad") for ground in ("ground", "raised")]
    texts += [
        ("ink", "sunk"),
        ("soft", "sunk"),
        ("accent", "wash"),
        ("ink", "wash"),
        ("soft", "wash"),
        ("on-accent", "accent"),
        ("ground", "ink"),
        ("raised", "ink"),
        ("raised", "good"),
        ("raised", "bad"),
        ("on-live", "live"),
    ]
    for ink, ground in texts:
        low, high = sorted(map(luminance, (found[ink], found[ground])))
        ratio = (high + 0.05) / (low + 0.05)
        assert ratio >= 4.5, f"{ink} on {ground}: {ratio:.2f}"
