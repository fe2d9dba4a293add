"""The gallery: one HTML page, without scripts, that shows the best shots of every topic as pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from html import escape
from pathlib import Path

from avs.core.artifacts import atomic_write
from avs.core.ranking import RankedList
from avs.core.topic import Topic

DEPTH = 8  # shots per topic

STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; background: #fff; color: #222 }
h2 { font-size: 1em; margin: 1.6em 0 .4em }
ol { display: flex; flex-wrap: wrap; gap: 6px; list-style: none; margin: 0; padding: 0 }
li { width: 168px; font-size: 12px }
img { width: 160px; height: 120px; object-fit: contain; background: #111; border: 4px solid #ccc }
.relevant img { border-color: #2a2 } .irrelevant img { border-color: #c33 }
"""


def write_gallery(
    path: Path,
    title: str,
    *,
    topics: Iterable[Topic],
    lists: Mapping[str, RankedList],
    picture: Callable[[str], Path],
    relevant: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Write a page with the keyframes of the first DEPTH shots of every topic.

    Args:
        lists: topic id -> ranked list.
        picture: shot id -> path of its keyframe.
        relevant: topic id -> relevant shots, which get a green frame; others get a red one. None: no judgments.
    """
    parts = [f"<!doctype html><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"]
    parts.append(f"<h1>{escape(title)}</h1>")
    for topic in topics:
        parts.append(f"<h2>{escape(topic.id)} {escape(topic.text)}</h2><ol>")
        ranked = lists[topic.id]
        for rank, (shot, score) in enumerate(zip(ranked.shots[:DEPTH], ranked.scores, strict=False), start=1):
            verdict = "" if relevant is None else "relevant" if shot in relevant[topic.id] else "irrelevant"
            source = escape(os.path.relpath(picture(shot), path.parent))
            label = f"{rank}. {escape(shot)}<br>{score:.3f}"
            parts.append(f'<li class="{verdict}"><img src="{source}" alt="{escape(shot)}"><br>{label}')
        parts.append("</ol>")
    with atomic_write(path) as file:
        file.write("\n".join(parts) + "\n")
