"""Patterns: a statement about a scene that is true or false of it. Topics and captions are patterns put into words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import permutations

from avs.demo.scenes import Scene, Thing, place, relation, zone


@dataclass(frozen=True, slots=True)
class ThingPattern:
    """Attributes a thing must have; None leaves one open. `horizontal` and `vertical` hold in mid-shot."""

    kind: str | None = None
    colour: str | None = None
    size: str | None = None
    count: int | None = None
    motion: str | None = None
    horizontal: str | None = None
    vertical: str | None = None

    def matches(self, thing: Thing, *, time_s: float, duration_s: float) -> bool:
        """Whether `thing` has every attribute asked for, its place taken at `time_s`."""
        for name in ("kind", "colour", "size", "count", "motion"):
            wanted = getattr(self, name)
            if wanted is not None and wanted != getattr(thing, name):
                return False
        if self.horizontal is None and self.vertical is None:
            return True
        across, down = zone(place(thing, time_s, duration_s))
        return self.horizontal in (None, across) and self.vertical in (None, down)

    @property
    def named(self) -> dict[str, object]:
        """The attributes that are not left open."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a scene must show.

    Attributes:
        things: different things, one for each.
        background: where.
        relation: how the first thing lies to the second, all through the shot.
        without: no thing may be like this.
    """

    things: tuple[ThingPattern, ...]
    background: str | None = None
    relation: str | None = None
    without: ThingPattern | None = None

    def matches(self, scene: Scene, *, time_s: float | None = None) -> bool:
        """Whether the scene shows all of it; places are taken at `time_s` (default: the middle of the shot)."""
        if self.background not in (None, scene.background):
            return False
        at = {"time_s": scene.duration_s / 2 if time_s is None else time_s, "duration_s": scene.duration_s}
        if self.without is not None and any(self.without.matches(thing, **at) for thing in scene.things):
            return False
        for chosen in permutations(range(len(scene.things)), len(self.things)):
            pairs = zip(self.things, chosen, strict=True)
            if not all(pattern.matches(scene.things[i], **at) for pattern, i in pairs):
                continue
            if self.relation is None or relation(scene, chosen[0], chosen[1]) == self.relation:
                return True
        return False
