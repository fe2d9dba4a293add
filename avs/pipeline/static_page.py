"""Lists as one HTML file: pictures and style are in it, it has no script, and it needs no server and no network."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

from avs.core.artifacts import atomic_write
from avs.core.ids import parse_shot_id
from avs.core.qrels import UNJUDGED, TopicQrels
from avs.core.ranking import RankedList
from avs.core.topic import Topic

STYLE = Path(__file__).with_name("static_page.css")
QUALITY = 80
RELEVANT, NOT_RELEVANT, NOT_JUDGED = "relevant", "judged not relevant", "not judged"
MARKS = {  # a shape of its own for each, so that no one needs to tell colours apart
    RELEVANT: '<circle cx="8" cy="8" r="7"/><path d="M4.5 8.3l2.4 2.4 4.6-5"/>',
    NOT_RELEVANT: '<rect x="1.5" y="1.5" width="13" height="13" rx="2"/><path d="M5 5l6 6m0-6l-6 6"/>',
    NOT_JUDGED: '<circle cx="8" cy="8" r="7.5"/><circle cx="8" cy="8" r="5" stroke-dasharray="2.2 1.72"/>',
}


@dataclass(frozen=True, slots=True)
class ShownSystem:
    """A list of every topic, side by side with those of other systems.

    Attributes:
        lists: topic id -> ranked list.
        scores: measure -> topic id -> value as it is printed; empty without judgments.
        means: measure -> mean over topics, as it is printed.
        parts: of a question in time, shot -> the shots of its parts, which are shown together.
    """

    name: str
    lists: Mapping[str, RankedList]
    scores: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    means: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StaticPage:
    """What the page shows.

    Attributes:
        facts: lines below the title.
        systems: side by side, in this order; one alone has the whole width.
        depth: number of shots of each list.
        picture: shot id -> its picture as JPEG; None: there is none.
        times_s: shot id -> its start and end; None: they are not known.
        clip: video id -> its file, which the pictures link to; None: they link to nothing.
        judged: topic id -> judgments; empty: none.
        warning: a sentence that nobody may overlook.
        made: how the page was made, at its end.
    """

    title: str
    topics: Sequence[Topic]
    systems: Sequence[ShownSystem]
    depth: int
    picture: Callable[[str], bytes | None]
    times_s: Callable[[str], tuple[float, float] | None]
    clip: Callable[[str], Path] | None = None
    facts: Sequence[str] = ()
    judged: Mapping[str, TopicQrels] = field(default_factory=dict)
    warning: str = ""
    made: str = ""

    @property
    def shown(self) -> set[str]:
        """The shots whose pictures the page shows."""
        return {
            part
            for system in self.systems
            for ranked in system.lists.values()
            for shot in ranked.shots[: self.depth]
            for part in system.parts.get(shot, (shot,))
        }

    def write(self, path: Path) -> None:
        """Write the page; clips are linked relative to it."""
        with atomic_write(path) as file:
            file.writelines(f"{part}\n" for part in self._page(path.parent))

    def _page(self, folder: Path) -> Iterator[str]:
        title, style = escape(self.title), STYLE.read_text(encoding="utf-8")
        yield '<!doctype html><html lang="en"><meta charset="utf-8">'
        yield f'<meta http-equiv="Content-Security-Policy" content="{_policy(style)}">'
        yield '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        yield f"<title>{title}</title><style>{style}</style>"
        yield f"<header><h1>{title}</h1>"
        yield from (f"<p>{escape(fact)}</p>" for fact in self.facts)
        if self.warning:
            yield f'<p class="warning" role="alert">{escape(self.warning)}</p>'
        yield from self._means()
        yield "</header>"
        if self.judged:
            yield from self._legend()
        yield f"<main{'' if len(self.systems) > 1 else ' class=alone'}>"
        for topic in self.topics:
            yield from self._topic(topic, folder)
        yield "</main>"
        if self.made:
            yield f"<footer>{escape(self.made)}</footer>"
        yield "</html>"

    def _means(self) -> Iterator[str]:
        measures = list(self.systems[0].means)
        if measures:
            yield f"<table><tr><th>mean{''.join(f'<th>{escape(measure)}' for measure in measures)}"
            for system in self.systems:
                values = "".join(f"<td>{escape(system.means[measure])}" for measure in measures)
                yield f"<tr><th>{escape(system.name)}{values}"
            yield "</table>"

    def _legend(self) -> Iterator[str]:
        yield '<svg width="0" height="0" class="hidden">'
        for name, shape in MARKS.items():
            yield f'<symbol id="{_css(name)}" viewBox="0 0 16 16">{shape}</symbol>'
        named = "".join(f"<li>{_mark(name)} {name}" for name in MARKS)
        yield f'</svg><ul class="legend">{named}<li>no mark: outside the pool</ul>'

    def _topic(self, topic: Topic, folder: Path) -> Iterator[str]:
        yield f'<section id="{quote(topic.id)}">'
        if len(self.topics) > 1:
            yield f"<h2><b>{escape(topic.id)}</b> {escape(topic.text)}</h2>"
        yield '<div class="systems">'
        for system in self.systems:
            values = "".join(
                f"<span>{escape(measure)} <b>{escape(of_topic[topic.id])}</b></span>"
                for measure, of_topic in system.scores.items()
                if topic.id in of_topic
            )
            yield f"<article><h3>{escape(system.name)} {values}</h3><ol>"
            if topic.id in system.lists:
                yield from self._shots(topic.id, system, folder)
            yield "</ol></article>"
        yield "</div></section>"

    def _shots(self, topic: str, system: ShownSystem, folder: Path) -> Iterator[str]:
        states, ranked = self._states(topic), system.lists[topic]
        for rank, (shot, score) in enumerate(zip(ranked.shots[: self.depth], ranked.scores, strict=False), start=1):
            state = states.get(shot, "")
            told = escape(f"{shot}: rank {rank}, score {score:.4f}{', ' if state else ''}{state}")
            pictures = "".join(self._picture(part) for part in system.parts.get(shot, (shot,)))
            seen = f"{pictures}{_mark(state) if state else ''}"
            if self.clip is None:
                seen = f'<div class="pic" title="{told}">{seen}</div>'
            else:
                seen = f'<a class="pic" href="{self._clip(shot, folder)}" title="{told}">{seen}</a>'
            times_s = self.times_s(shot)
            clock = f"<time>{_clock(times_s[0])}</time>" if times_s is not None else ""
            yield f'<li class="{_css(state)}">{seen}<div><b>{rank}</b><span>{escape(shot)}</span>{clock}</div>'

    def _picture(self, shot: str) -> str:
        coded = self.picture(shot)
        if coded is None:
            return '<span class="none">no picture</span>'
        data = base64.b64encode(coded).decode()
        return f'<img decoding="async" src="data:image/jpeg;base64,{data}" alt="{escape(shot)}">'

    def _clip(self, shot: str, folder: Path) -> str:
        """The relative address of the shot in its video; `quote` leaves nothing that HTML could misread."""
        assert self.clip is not None
        address, times_s = quote(os.path.relpath(self.clip(parse_shot_id(shot).video), folder)), self.times_s(shot)
        return address if times_s is None else f"{address}#t={times_s[0]:.2f},{times_s[1]:.2f}"

    def _states(self, topic: str) -> Mapping[str, str]:
        """Shot -> one of MARKS, of the shots in the pool."""
        if topic not in self.judged:
            return {}
        judged = self.judged[topic]
        return {
            shot: NOT_JUDGED if grade == UNJUDGED else RELEVANT if grade > 0 else NOT_RELEVANT
            for shot, grade in zip(judged.shots, judged.judgments.tolist(), strict=True)
        }


def reduced_picture(coded: bytes, longest_side: int) -> bytes:
    """A picture as the page shows it: JPEG, its longer side at most `longest_side` pixels.

    Raises:
        OSError: it cannot be decoded.
    """
    from PIL import Image

    with Image.open(io.BytesIO(coded)) as image:
        small = image.convert("RGB")
    small.thumbnail((longest_side, longest_side))
    kept = io.BytesIO()
    small.save(kept, "jpeg", quality=QUALITY, optimize=True)
    return kept.getvalue()


def _policy(style: str) -> str:
    """What a browser may do with the page: its own style and the pictures in it, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _mark(state: str) -> str:
    return f'<svg class="mark {_css(state)}" role="img" aria-label="{state}"><use href="#{_css(state)}"/></svg>'


def _css(state: str) -> str:
    return state.replace(" ", "-")


def _clock(start_s: float) -> str:
    minutes, seconds = divmod(int(start_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
