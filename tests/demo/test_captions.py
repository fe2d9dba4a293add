"""Captions and patterns say what the scenes show."""

from __future__ import annotations

import numpy as np
import pytest

from avs.demo.captions import COUNT_WORDS, MOTION_WORDS, NOUNS, SHOT_STYLE, caption, pick, say
from avs.demo.patterns import Pattern, ThingPattern
from avs.demo.planting import near_miss, scene_for
from avs.demo.scenes import COLOURS, KINDS, MOTIONS, Scene, Thing, sample_scene
from avs.demo.topics import MINI_TOPICS


def thing(kind: str, x: float, y: float, **more: object) -> Thing:
    values = {"colour": "red", "size": "large", "count": 1, "motion": "still"} | more
    return Thing(kind, values["colour"], values["size"], values["count"], values["motion"], x, y, 0.5, 0.0, False)  # type: ignore[arg-type]


def scene(*things: Thing, background: str = "sea") -> Scene:
    return Scene(background, things, 3.0, 0)


def test_what_is_picked_for_a_caption_is_true() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        shown = sample_scene(rng)
        assert pick(shown, rng, SHOT_STYLE).matches(shown)
        time_s = rng.uniform(0, shown.duration_s)
        assert pick(shown, rng, SHOT_STYLE, time_s=time_s).matches(shown, time_s=time_s)


def test_a_caption_names_no_kind_or_colour_that_is_not_there() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        shown = sample_scene(rng)
        words = set(caption(shown, rng).replace(",", " ").split())
        kinds = {k for k in KINDS for forms in NOUNS[k] for form in forms if set(form.split()) <= words}
        assert kinds and kinds <= {t.kind for t in shown.things}
        assert words & set(COLOURS) <= {t.colour for t in shown.things}


def test_words_of_a_full_pattern() -> None:
    pattern = Pattern((ThingPattern("car", "red", "small", 2, "right", "left", "top"),), background="snow")
    text = say(pattern, np.random.default_rng(3))
    assert "red" in text and "top left" in text
    assert any(w in text for w in COUNT_WORDS[2]) and any(w in text for w in MOTION_WORDS["right"])
    assert "car" in text or "automobile" in text


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (Pattern((ThingPattern("car"),)), True),
        (Pattern((ThingPattern("car", "blue"),)), False),
        (Pattern((ThingPattern("car"), ThingPattern("car"))), False),
        (Pattern((ThingPattern("car"), ThingPattern("cat"))), True),
        (Pattern((ThingPattern("car"), ThingPattern("cat")), relation="left of"), True),
        (Pattern((ThingPattern("cat"), ThingPattern("car")), relation="left of"), False),
        (Pattern((ThingPattern("cat"), ThingPattern("car")), relation="right of"), True),
        (Pattern((ThingPattern("car"),), background="snow"), False),
        (Pattern((ThingPattern("car"),), without=ThingPattern("cat")), False),
        (Pattern((ThingPattern("car"),), without=ThingPattern("cat", "blue")), True),
        (Pattern((ThingPattern("car", horizontal="left"),)), True),
        (Pattern((ThingPattern("car", horizontal="right"),)), False),
    ],
)
def test_pattern(pattern: Pattern, expected: bool) -> None:
    assert pattern.matches(scene(thing("car", 0.3, 0.5), thing("cat", 1.0, 0.5))) is expected


def test_a_relation_must_hold_all_through_the_shot() -> None:
    pattern = Pattern((ThingPattern("car"), ThingPattern("cat")), relation="left of")
    assert not pattern.matches(scene(thing("car", 0.6, 0.5, motion="right"), thing("cat", 0.75, 0.5)))


@pytest.mark.parametrize("topic", MINI_TOPICS, ids=lambda t: t.id)
def test_planted_scenes_show_the_topic_and_near_misses_do_not(topic) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(int(topic.id))
    assert all(topic.pattern.matches(scene_for(topic.pattern, rng)) for _ in range(3))
    assert not any(topic.pattern.matches(near_miss(topic.pattern, rng)) for _ in range(3))


def test_every_motion_has_words_and_every_kind_a_noun() -> None:
    assert set(MOTION_WORDS) == set(MOTIONS) and set(NOUNS) == set(KINDS)
