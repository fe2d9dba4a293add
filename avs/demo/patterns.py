"""Patterns: statements that are true or false of a scene. Topics and captions put patterns into words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import permutations

from avs.demo.scenes import Scene, Thing, place, relation, zone


@dataclass(frozen=True, slots=True)
class ThingPattern:
    """The attributes that a thing must have; None leaves one open.

    `horizontal` and `vertical` are its position at one moment, by default the middle of the shot.
    """

    kind: str | None = None
    colour: str | None = None
    size: str | None = None
    count: int | None = None
    motion: str | None = None
    horizontal: str | None = None
    vertical: str | None = None

    def matches(self, thing: Thing, *, time_s: float, duration_s: float) -> bool:
        """Whether `thing` has all these attributes; its position is taken at `time_s`."""
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
        things: each matches a different thing of the scene.
        background: one of BACKGROUNDS; None: any.
        relation: where the first thing is relative to the second, during the whole shot; None: anywhere.
        without: no thing of the scene may match this.
    """

    things: tuple[ThingPattern, ...]
    background: str | None = None
    relation: str | None = None
    without: ThingPattern | None = None

    def matches(self, scene: Scene, *, time_s: float | None = None) -> bool:
        """Whether the scene shows all this; positions are taken at `time_s` (default: the middle of the shot)."""
        if self.background not in (None, scene.background):
            return False
        moment = {"time_s": scene.duration_s / 2 if time_s is None else time_s, "duration_s": scene.duration_s}
        if self.without is not None and any(self.without.matches(thing, **moment) for thing in scene.things):
            return False
        for chosen in permutations(range(len(scene.things)), len(self.things)):
            pairs = zip(self.things, chosen, strict=True)
            if not all(pattern.matches(scene.things[i], **moment) for pattern, i in pairs):
                continue
            if self.relation is None or relation(scene, chosen[0], chosen[1]) == self.relation:
                return True
        return False
