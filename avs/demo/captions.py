"""Captions: which parts of a scene a caption mentions, and in which words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avs.demo.patterns import Pattern, ThingPattern
from avs.demo.scenes import Scene, place, relation, zone

NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "car": (("car", "cars"), ("automobile", "automobiles")),
    "house": (("house", "houses"), ("home", "homes")),
    "tree": (("tree", "trees"), ("fir tree", "fir trees")),
    "boat": (("boat", "boats"), ("sailing boat", "sailing boats"), ("ship", "ships")),
    "ball": (("ball", "balls"),),
    "star": (("star", "stars"),),
    "fish": (("fish", "fish"),),
    "bird": (("bird", "birds"),),
    "cat": (("cat", "cats"), ("kitten", "kittens")),
    "person": (("person", "people"), ("man", "men")),
    "flower": (("flower", "flowers"), ("blossom", "blossoms")),
    "cup": (("cup", "cups"), ("mug", "mugs")),
    "plane": (("plane", "planes"), ("airplane", "airplanes")),
    "umbrella": (("umbrella", "umbrellas"), ("parasol", "parasols")),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big")}
COUNT_WORDS = {1: ("one", "a single"), 2: ("two", "a pair of", "2"), 3: ("three", "3"), 4: ("four", "4")}
MOTION_WORDS = {
    "still": ("standing still", "not moving", "at rest"),
    "right": ("moving from left to right", "moving to the right", "going right"),
    "left": ("moving from right to left", "moving to the left", "going left"),
    "up": ("rising", "moving up", "going upwards"),
    "down": ("falling", "moving down", "dropping"),
    "bounce": ("bouncing", "bouncing up and down", "jumping"),
    "spin": ("spinning", "rotating", "turning around"),
    "grow": ("growing", "getting bigger", "becoming larger"),
    "shrink": ("shrinking", "getting smaller", "becoming smaller"),
}
PLACE_WORDS = {
    "beach": ("on a beach", "on the beach", "at the beach"),
    "forest": ("in a forest", "in the woods", "in the forest"),
    "night": ("in the night sky", "at night", "in the dark"),
    "snow": ("in the snow", "on snow", "in a snowy place"),
    "street": ("on a city street", "in the street", "in a city"),
    "room": ("in a room", "indoors", "inside a room"),
    "desert": ("in the desert", "in a desert", "among sand dunes"),
    "sea": ("in the sea", "at sea", "on the water"),
}
RELATION_WORDS = {
    "left of": ("to the left of", "left of", "on the left side of"),
    "right of": ("to the right of", "right of", "on the right side of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath"),
}
_EMPHATIC_ODDS = 0.6  # probability of mentioning "one" or "standing still", and of leaving out "middle"
OPENINGS = ("", "", "", "a picture of ", "a view of ", "a shot of ", "there is ", "we see ")
_POSITION_WORDS = {
    ("left", None): ("on the left", "on the left side"),
    ("right", None): ("on the right", "on the right side"),
    ("middle", None): ("in the middle",),
    (None, "top"): ("at the top", "near the top"),
    (None, "bottom"): ("at the bottom", "near the bottom"),
    (None, "middle"): ("halfway up",),
    ("middle", "middle"): ("in the centre", "in the middle"),
}


@dataclass(frozen=True, slots=True)
class CaptionStyle:
    """The probability that a caption mentions each attribute.

    Attributes:
        whole: probability that the caption describes every thing rather than one of them.
        bare: probability of a row of keywords instead of a sentence.
    """

    colour: float = 0.8
    size: float = 0.3
    count: float = 0.5
    motion: float = 0.7
    position: float = 0.25
    background: float = 0.5
    relation: float = 0.3
    whole: float = 0.4
    bare: float = 0.0


SHOT_STYLE = CaptionStyle()


def pick(scene: Scene, rng: np.random.Generator, style: CaptionStyle, *, time_s: float | None = None) -> Pattern:
    """A random pattern that is true of `scene` and mentions what captions of this style mention.

    Args:
        time_s: the moment whose positions count, for the caption of a frame. None is for the caption of the whole shot,
            which gives positions only to things that stay where they are.
    """
    order = [int(i) for i in rng.permutation(len(scene.things))]
    chosen = order if rng.random() < style.whole else order[:1]
    related = None
    if len(order) > 1 and rng.random() < style.relation:
        related = relation(scene, order[0], order[1])
        chosen = order[:2] if related else chosen
    background = scene.background if rng.random() < style.background else None
    return Pattern(tuple(_pick_thing(scene, i, rng, style, time_s) for i in chosen), background, related)


def _pick_thing(
    scene: Scene, index: int, rng: np.random.Generator, style: CaptionStyle, time_s: float | None
) -> ThingPattern:
    thing = scene.things[index]
    odds = (style.colour, style.size, style.count, style.motion, style.position, _EMPHATIC_ODDS)
    colour, size, count, motion, position, emphatic = rng.random(6) < odds
    horizontal = vertical = None
    if position and (time_s is not None or thing.motion in ("still", "spin")):
        horizontal, vertical = zone(place(thing, scene.duration_s / 2 if time_s is None else time_s, scene.duration_s))
        if (horizontal == "middle") != (vertical == "middle") and emphatic:  # "at the top", not "at the top middle"
            horizontal, vertical = (None, vertical) if horizontal == "middle" else (horizontal, None)
    return ThingPattern(
        kind=thing.kind,
        colour=thing.colour if colour else None,
        size=thing.size if size else None,
        count=thing.count if count and (thing.count > 1 or emphatic) else None,
        motion=thing.motion if motion and (thing.motion != "still" or emphatic) else None,
        horizontal=horizontal,
        vertical=vertical,
    )


def say(pattern: Pattern, rng: np.random.Generator, *, bare: bool = False) -> str:
    """A sentence that says `pattern` in random words; with `bare`, keywords in random order."""
    things = [say_thing(thing, rng) for thing in pattern.things]
    where = _one(PLACE_WORDS[pattern.background], rng) if pattern.background else ""
    if bare:
        words = [*things, where]
        return " ".join(words[i] for i in rng.permutation(len(words)) if words[i])
    if pattern.relation:
        body = f"{things[0]} {_one(RELATION_WORDS[pattern.relation], rng)} {things[1]}"
    else:
        body = _one((" and ", " with ", ", "), rng).join(things[:2])
    if len(things) > 2:
        body += f" and {things[2]}"
    if where and rng.random() < 0.25:
        return f"{where} {body}"
    return f"{_one(OPENINGS, rng)}{body} {where}".strip()


def say_thing(thing: ThingPattern, rng: np.random.Generator) -> str:
    """A noun phrase such as "two small red cars moving to the right"; "a" leaves the number open."""
    names = NOUNS[thing.kind or ""]
    singular, plural = names[0 if rng.random() < 0.6 else int(rng.integers(len(names)))]
    adjectives = [_one(SIZE_WORDS[thing.size], rng)] if thing.size else []
    adjectives += [thing.colour] if thing.colour else []
    many = thing.count is not None and thing.count > 1
    words = [*adjectives, plural if many else singular]
    words.insert(0, _one(COUNT_WORDS[thing.count], rng) if thing.count else _article(words[0]))
    if thing.motion:
        words.append(_one(MOTION_WORDS[thing.motion], rng))
    if thing.horizontal or thing.vertical:
        words.append(_say_position(thing.horizontal, thing.vertical, rng))
    return " ".join(words)


def _say_position(horizontal: str | None, vertical: str | None, rng: np.random.Generator) -> str:
    known = _POSITION_WORDS.get((horizontal, vertical))
    if known:
        return _one(known, rng)
    if vertical == "middle":
        return f"{_one(_POSITION_WORDS[horizontal, None], rng)} {_POSITION_WORDS[None, 'middle'][0]}"
    if horizontal == "middle":
        return f"{_one(_POSITION_WORDS[None, vertical], rng)} in the middle"
    return _one((f"at the {vertical} {horizontal}", f"in the {vertical} {horizontal} corner"), rng)


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _one(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def caption(scene: Scene, rng: np.random.Generator, style: CaptionStyle = SHOT_STYLE) -> str:
    """A random sentence that is true of the whole shot."""
    return say(pick(scene, rng, style), rng, bare=bool(rng.random() < style.bare))
