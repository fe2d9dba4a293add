"""The gallery: an HTML page without scripts, with the best shots of every topic as pictures, system by system."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import quote

from avs.core.artifacts import atomic_write
from avs.core.qrels import UNJUDGED, TopicQrels
from avs.core.ranking import RankedList
from avs.core.shots import Shot, ShotTable
from avs.core.topic import Topic

DEPTH = 8  # shots per topic and system
STYLE = Path(__file__).with_name("gallery.css")
RELEVANT, NOT_RELEVANT, NOT_JUDGED = "relevant", "judged not relevant", "not judged"
MARKS = {  # a shape of its own for each, so that no one needs to tell colours apart
    RELEVANT: '<circle cx="8" cy="8" r="7"/><path d="M4.5 8.3l2.4 2.4 4.6-5"/>',
    NOT_RELEVANT: '<rect x="1.5" y="1.5" width="13" height="13" rx="2"/><path d="M5 5l6 6m0-6l-6 6"/>',
    NOT_JUDGED: '<circle cx="8" cy="8" r="6" stroke-dasharray="2.6 2.1"/>',
}


@dataclass(frozen=True, slots=True)
class ShownSystem:
    """A column of the gallery.

    Attributes:
        lists: topic id -> ranked list.
        scores: measure -> topic id -> value; empty without judgments.
        means: measure -> mean over topics.
    """

    name: str
    lists: Mapping[str, RankedList]
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    means: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gallery:
    """What the page shows.

    Attributes:
        systems: side by side, in this order.
        shots: of the collection.
        picture: shot id -> path of its keyframe; a shot without a file there is shown without a picture.
        clip: video id -> its file, which the pictures link to.
        judged: topic id -> judgments; empty: none.
        warning: a sentence that nobody may overlook.
    """

    title: str
    topics: Sequence[Topic]
    systems: Sequence[ShownSystem]
    shots: ShotTable
    picture: Callable[[str], Path]
    clip: Callable[[str], Path]
    judged: Mapping[str, TopicQrels] = field(default_factory=dict)
    warning: str = ""

    @property
    def shown(self) -> set[str]:
        """The shots whose pictures the page shows."""
        return {shot for system in self.systems for ranked in system.lists.values() for shot in ranked.shots[:DEPTH]}

    def write(self, path: Path) -> None:
        """Write the page; pictures and clips are linked relative to it."""
        with atomic_write(path) as file:
            file.writelines(f"{part}\n" for part in self._page(path.parent))

    def _page(self, folder: Path) -> Iterator[str]:
        title = escape(self.title)
        yield '<!doctype html><html lang="en"><meta charset="utf-8">'
        yield '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        yield f"<title>{title}</title><style>{STYLE.read_text(encoding='utf-8')}</style>"
        yield f"<header><h1>{title}</h1>"
        yield f"<p>{len(self.topics)} topics, {len(self.shots)} shots; the first {DEPTH} shots of every system</p>"
        if self.warning:
            yield f'<p class="warning" role="alert">{escape(self.warning)}</p>'
        yield from self._means()
        yield "</header>"
        if self.judged:
            yield from self._legend()
        yield "<main>"
        for topic in self.topics:
            yield from self._topic(topic, folder)
        yield "</main></html>"

    def _means(self) -> Iterator[str]:
        measures = list(self.systems[0].means)
        if measures:
            yield f"<table><tr><th>mean{''.join(f'<th>{escape(measure)}' for measure in measures)}"
            for system in self.systems:
                values = "".join(f"<td>{system.means[measure]:.4f}" for measure in measures)
                yield f"<tr><th>{escape(system.name)}{values}"
            yield "</table>"

    def _legend(self) -> Iterator[str]:
        yield '<svg width="0" height="0" class="hidden">'
        for name, shape in MARKS.items():
            yield f'<symbol id="{_css(name)}" viewBox="0 0 16 16">{shape}</symbol>'
        yield f'</svg><ul class="legend">{"".join(f"<li>{_mark(name)} {name}" for name in MARKS)}</ul>'

    def _topic(self, topic: Topic, folder: Path) -> Iterator[str]:
        yield f'<section id="{quote(topic.id)}"><h2><b>{escape(topic.id)}</b> {escape(topic.text)}</h2>'
        yield '<div class="systems">'
        for system in self.systems:
            values = "".join(
                f"<span>{escape(measure)} <b>{of_topic[topic.id]:.3f}</b></span>"
                for measure, of_topic in system.scores.items()
                if topic.id in of_topic
            )
            yield f"<article><h3>{escape(system.name)} {values}</h3><ol>"
            if topic.id in system.lists:
                yield from self._shots(topic.id, system.lists[topic.id], folder)
            yield "</ol></article>"
        yield "</div></section>"

    def _shots(self, topic: str, ranked: RankedList, folder: Path) -> Iterator[str]:
        states = self._states(topic)
        for rank, (name, score) in enumerate(zip(ranked.shots[:DEPTH], ranked.scores, strict=False), start=1):
            shot, state = self.shots.get(name), states[name] if states else ""
            clip = f"{_link(self.clip(shot.video), folder)}#t={shot.start_s:.2f},{shot.end_s:.2f}"
            picture = self.picture(name)
            shown = (
                f'<img loading="lazy" src="{_link(picture, folder)}" alt="{escape(name)}">'
                if picture.is_file()
                else '<span class="none">no picture</span>'
            )
            told = f"rank {rank}, score {score:.4f}{', ' if state else ''}{state}"
            mark = _mark(state) if state else ""
            yield (
                f'<li class="{_css(state)}"><a href="{clip}" title="{escape(name)}: {told}">{shown}{mark}</a>'
                f"<div><b>{rank}</b><time>{_clock(shot)}</time></div>{escape(name)}"
            )

    def _states(self, topic: str) -> Mapping[str, str]:
        """Shot -> one of MARKS; empty where nobody judged the topic."""
        if topic not in self.judged:
            return {}
        grades = dict(zip(self.judged[topic].shots, self.judged[topic].judgments.tolist(), strict=True))
        states = {shot: RELEVANT if grade > 0 else NOT_RELEVANT for shot, grade in grades.items() if grade != UNJUDGED}
        return defaultdict(lambda: NOT_JUDGED, states)


def _mark(state: str) -> str:
    return f'<svg class="mark {_css(state)}" role="img" aria-label="{state}"><use href="#{_css(state)}"/></svg>'


def _css(state: str) -> str:
    return state.replace(" ", "-")


def _link(path: Path, folder: Path) -> str:
    """The relative address of a file; `quote` leaves nothing that HTML or an address could misread."""
    return quote(os.path.relpath(path, folder))


def _clock(shot: Shot) -> str:
    minutes, seconds = divmod(int(shot.start_s), 60)
    return f"{minutes}:{seconds:02d}"
