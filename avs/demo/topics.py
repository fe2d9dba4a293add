"""The thirty topics of the mini collection: sentence, narrative, and the pattern that decides what is relevant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from avs.core.topic import Topic
from avs.demo.patterns import Pattern, ThingPattern

FIRST_ID = 901
EDITION = "mini"


@dataclass(frozen=True, slots=True)
class MiniTopic:
    """A topic and its ground truth.

    Attributes:
        tags: kinds of the topic: motion, count, relation, negation, size, background, two things.
        pattern: true of the scenes of the relevant shots.
    """

    id: str
    text: str
    narrative: str
    tags: tuple[str, ...]
    pattern: Pattern

    @property
    def topic(self) -> Topic:
        """The topic as a `core.topic.Topic`."""
        return Topic(self.id, self.text, narrative=self.narrative, edition=EDITION, task="main")


def _thing(kind: str, colour: str | None = None, **attributes: Any) -> ThingPattern:
    return ThingPattern(kind, colour, **attributes)


_PLAN: tuple[tuple[str, str, str, Pattern], ...] = (
    ("a red car moving from left to right", "A red automobile that travels towards the right side of the picture.",
     "motion", Pattern((_thing("car", "red", motion="right"),))),
    ("a blue boat moving from right to left", "A blue sailing boat that travels towards the left side of the picture.",
     "motion", Pattern((_thing("boat", "blue", motion="left"),))),
    ("a white plane rising", "A white airplane that gains height.",
     "motion", Pattern((_thing("plane", "white", motion="up"),))),
    ("a yellow star falling", "A yellow star that drops from the top towards the bottom.",
     "motion", Pattern((_thing("star", "yellow", motion="down"),))),
    ("an orange ball bouncing up and down", "An orange ball that jumps again and again.",
     "motion", Pattern((_thing("ball", "orange", motion="bounce"),))),
    ("a purple umbrella spinning", "A purple parasol that keeps turning around.",
     "motion", Pattern((_thing("umbrella", "purple", motion="spin"),))),
    ("a green fish moving from left to right", "A green fish that swims towards the right side of the picture.",
     "motion", Pattern((_thing("fish", "green", motion="right"),))),
    ("a black bird rising", "A black bird that goes upwards.",
     "motion", Pattern((_thing("bird", "black", motion="up"),))),
    ("a red flower growing", "A red blossom that gets bigger while we watch.",
     "motion", Pattern((_thing("flower", "red", motion="grow"),))),
    ("a white cat getting smaller", "A white kitten that becomes smaller while we watch.",
     "motion", Pattern((_thing("cat", "white", motion="shrink"),))),
    ("two blue fish in the sea", "Exactly two blue fish of one kind, on or in the water.",
     "count,background", Pattern((_thing("fish", "blue", count=2),), background="sea")),
    ("three yellow birds", "A group of exactly three yellow birds.",
     "count", Pattern((_thing("bird", "yellow", count=3),))),
    ("four red flowers", "A group of exactly four red blossoms.",
     "count", Pattern((_thing("flower", "red", count=4),))),
    ("two white cats in a room", "Exactly two white kittens indoors.",
     "count,background", Pattern((_thing("cat", "white", count=2),), background="room")),
    ("three green stars", "A group of exactly three green stars.",
     "count", Pattern((_thing("star", "green", count=3),))),
    ("a red ball to the left of a house", "A red ball on the left side of a house of any colour.",
     "relation,two things", Pattern((_thing("ball", "red"), _thing("house")), relation="left of")),
    ("a bird above a boat", "A bird that is higher than a boat, both of any colour.",
     "relation,two things", Pattern((_thing("bird"), _thing("boat")), relation="above")),
    ("a cup below a star", "A mug that is under a star, both of any colour.",
     "relation,two things", Pattern((_thing("cup"), _thing("star")), relation="below")),
    ("a black cat to the right of a tree", "A black kitten on the right side of a tree of any colour.",
     "relation,two things", Pattern((_thing("cat", "black"), _thing("tree")), relation="right of")),
    ("a blue car to the left of a person", "A blue automobile on the left side of a man or another person.",
     "relation,two things", Pattern((_thing("car", "blue"), _thing("person")), relation="left of")),
    ("a green tree without any house", "A green tree in a place where there is no house at all.",
     "negation", Pattern((_thing("tree", "green"),), without=_thing("house"))),
    ("a black umbrella and no person", "A black parasol in a place where nobody is to be seen.",
     "negation", Pattern((_thing("umbrella", "black"),), without=_thing("person"))),
    ("a yellow cup without any cat", "A yellow mug where there is no kitten or cat.",
     "negation", Pattern((_thing("cup", "yellow"),), without=_thing("cat"))),
    ("a purple house in the snow", "A purple home in a snowy place.",
     "background", Pattern((_thing("house", "purple"),), background="snow")),
    ("an orange plane in the night sky", "An orange airplane at night.",
     "background", Pattern((_thing("plane", "orange"),), background="night")),
    ("a large white boat on a beach", "A big white ship or sailing boat at the beach.",
     "size,background", Pattern((_thing("boat", "white", size="large"),), background="beach")),
    ("a small blue house in the desert", "A little blue home among sand dunes.",
     "size,background", Pattern((_thing("house", "blue", size="small"),), background="desert")),
    ("a person and a white umbrella", "A man or another person, of any colour, and a white parasol.",
     "two things", Pattern((_thing("person"), _thing("umbrella", "white")))),
    ("a black car on a city street", "A black automobile in a city.",
     "background", Pattern((_thing("car", "black"),), background="street")),
    ("a yellow fish and a red star", "A yellow fish together with a red star.",
     "two things", Pattern((_thing("fish", "yellow"), _thing("star", "red")))),
)  # fmt: skip

MINI_TOPICS: tuple[MiniTopic, ...] = tuple(
    MiniTopic(str(FIRST_ID + i), text, narrative, tuple(tags.split(",")), pattern)
    for i, (text, narrative, tags, pattern) in enumerate(_PLAN)
)
