"""Clips of neighbouring captions: every caption is in one, in order, and none has more tokens than may be."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from avs.captions.narrated_clips import NarratedClip, join_narrations
from avs.captions.narrations import Narration

SAID = [
    Narration(0, 2, "cut the"),
    Narration(1.5, 3.5, "onions"),
    Narration(3, 4, "stir"),
    Narration(9, 12, "serve it"),
]
CAPTIONS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9), st.integers(1, 9)), max_size=12)


def test_a_clip_ends_where_the_next_one_would_not_fit() -> None:
    assert join_narrations(SAID, [2, 1, 1, 2], 3) == [
        NarratedClip(0, 3, "cut the onions", 2, 3, overlap=True),  # 3.5, but "stir" begins at 3
        NarratedClip(3, 12, "stir serve it", 2, 3, overlap=False),
    ]


def test_a_long_caption_is_a_clip_by_itself() -> None:
    assert [clip.captions for clip in join_narrations(SAID, [1, 9, 1, 1], 3)] == [1, 1, 2]
    assert join_narrations([], [], 3) == []


def test_a_clip_lasts_until_the_last_end_of_any_caption() -> None:
    (clip,) = join_narrations([Narration(1, 9, "a"), Narration(2, 3, "b")], [1, 1], 2)
    assert (clip.start_s, clip.end_s) == (1, 9)


def test_an_early_end_counts_only_if_something_is_left() -> None:
    together = [Narration(1, 5, "a"), Narration(1, 3, "b")]
    clips = join_narrations(together, [3, 3], 3)
    assert [(clip.start_s, clip.end_s, clip.overlap) for clip in clips] == [(1, 5, False), (1, 3, False)]


@settings(deadline=None)
@given(CAPTIONS, st.integers(1, 12))
def test_every_caption_is_in_one_clip(drawn: list[tuple[int, int, int]], most: int) -> None:
    said = [Narration(start, start + lasts, f"w{n}") for n, (start, lasts, _) in enumerate(sorted(drawn))]
    tokens = [count for *_, count in sorted(drawn)]
    clips = join_narrations(said, tokens, most)
    assert " ".join(clip.text for clip in clips) == " ".join(one.text for one in said)
    assert sum(clip.captions for clip in clips) == len(said) and sum(clip.tokens for clip in clips) == sum(tokens)
    for clip, after in zip(clips, clips[1:], strict=False):
        assert clip.tokens <= most or clip.captions == 1
        assert clip.start_s < clip.end_s and (clip.end_s <= after.start_s or clip.start_s == after.start_s)
        assert clip.tokens + tokens[sum(one.captions for one in clips[: clips.index(after)])] > most
