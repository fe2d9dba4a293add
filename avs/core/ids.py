"""Shot, video and topic ids, as TRECVID writes them."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from avs.core.errors import FormatError

_VIDEO, _NUMBER = "[A-Za-z0-9][A-Za-z0-9._-]*", "[1-9][0-9]{0,8}"
_SHOT = re.compile(f"shot(?P<video>{_VIDEO})_(?P<number>{_NUMBER})")
_SHOTS = re.compile(rf"\s*+(?:shot{_VIDEO}_{_NUMBER}(?:\s++|$))*+")
_DIGITS = re.compile(r"([0-9]{1,18})")


class ShotId(NamedTuple):
    """A shot's video id, kept as written (`00123`), and its 1-based number within the video."""

    video: str
    number: int

    def __str__(self) -> str:
        return f"shot{self.video}_{self.number}"


def parse_shot_id(text: str) -> ShotId:
    """The video and number of a shot id.

    >>> parse_shot_id("shot00123_45")
    ShotId(video='00123', number=45)

    Raises:
        FormatError: `text` is not `shot<video>_<n>` with n counted from 1 and no leading zero.
    """
    match = _SHOT.fullmatch(text)
    if match is None:
        raise FormatError(
            "not a shot id",
            got=repr(text),
            wanted='shot<video>_<n> with n from 1, such as "shot00123_45"',
        )
    return ShotId(match["video"], int(match["number"]))


def not_shot_ids(text: str) -> list[str]:
    """The words of a text that are not shot ids. A million good ones take a tenth of a second.

    >>> not_shot_ids("shot1_1 shot1_2")
    []
    >>> not_shot_ids("shot1_1 ../../etc/passwd shot1_0")
    ['../../etc/passwd', 'shot1_0']
    """
    return [] if _SHOTS.fullmatch(text) else [word for word in text.split() if not _SHOT.fullmatch(word)]


def format_shot_id(video: str, number: int) -> str:
    """The shot id of the `number`-th shot (1-based) of `video`; checked by parsing it back."""
    return str(parse_shot_id(f"shot{video}_{number}"))


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts `shot1_2` before `shot1_10`: digit runs compare as numbers, then as text."""
    return tuple(
        (0, int(part), part) if "0" <= part[0] <= "9" else (1, 0, part) for part in _DIGITS.split(text) if part
    )


def qrels_topic_id(topic: str) -> str:
    """The id of a topic in NIST's qrels, which put a "1" before it (661 -> 1661)."""
    return "1" + topic


def topic_id_from_qrels(qrels_id: str) -> str:
    """The topic id that a qrels id stands for (1661 -> 661).

    Raises:
        FormatError: the id does not begin with the "1" that NIST puts before topic numbers.
    """
    if len(qrels_id) < 2 or not qrels_id.startswith("1"):
        raise FormatError("not a topic id of AVS qrels", got=repr(qrels_id), wanted='"1" + topic, such as 1661')
    return qrels_id[1:]


def some(ids: Collection[object], *, shown: int = 5) -> str:
    """The first few of many, and how many more there are.

    >>> some(["a", "b", "c", "d"], shown=3)
    'a, b, c and 1 more'
    """
    first = ", ".join(str(one) for one, _ in zip(ids, range(shown), strict=False))
    return f"{first} and {len(ids) - shown} more" if len(ids) > shown else first
