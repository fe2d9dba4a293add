"""Clips of a narrated video: neighbouring captions, joined as long as a text has room for them.

CLIP4Clip's authors join neighbouring captions to at most 32 tokens, after cleaning their overlaps up; they do not say
how (ArrowLuo/CLIP4Clip, issue 28). Here every caption is in one clip. Captions are taken in order of time, and a new
clip begins where the next one would not fit. A clip lasts from the start of its first caption to the last end of any of
them, or until the next clip begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from avs.captions.narrations import Narration


@dataclass(frozen=True, slots=True)
class NarratedClip:
    """A stretch of a video and what is said in it.

    Attributes:
        start_s, end_s: seconds from the beginning of the video.
        text: the captions, joined with spaces.
        captions, tokens: how many of them it has.
        overlap: whether it ends where the next clip begins, before the end of its captions.
    """

    start_s: float
    end_s: float
    text: str
    captions: int
    tokens: int
    overlap: bool


def join_narrations(narrations: Sequence[Narration], tokens: Sequence[int], most: int) -> list[NarratedClip]:
    """The clips of a video, in order of time.

    Args:
        narrations: its captions, in order of time.
        tokens: how many tokens each of them has.
        most: tokens of a clip. A caption that has more is a clip by itself.
    """
    groups = list(_groups(tokens, most))
    clips = []
    for number, (first, end) in enumerate(groups):
        members = narrations[first:end]
        start_s, end_s = members[0].start_s, max(one.end_s for one in members)
        next_s = narrations[groups[number + 1][0]].start_s if number + 1 < len(groups) else end_s
        overlap = start_s < next_s < end_s
        text = " ".join(one.text for one in members)
        clips.append(
            NarratedClip(start_s, next_s if overlap else end_s, text, len(members), sum(tokens[first:end]), overlap)
        )
    return clips


def _groups(tokens: Sequence[int], most: int) -> Iterator[tuple[int, int]]:
    """First and end of each group of captions that fit together."""
    first = total = 0
    for place, count in enumerate(tokens):
        if place > first and total + count > most:
            yield first, place
            first, total = place, 0
        total += count
    if tokens:
        yield first, len(tokens)
