"""Captions: sentences that describe videos, and which video each of them describes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from avs.core.errors import DataError, FormatError, Problems


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence about a video. `id` is unique within its collection, such as "video7010#enc#3"."""

    id: str
    video: str
    text: str


class CaptionSet:
    """The captions of one collection, in their order, as columns.

    Attributes:
        name: of the collection.
        ids: of the captions.
        texts: the sentences.
        videos: distinct video ids, in the order they first appear.
        video_of: (N,) int64, position in `videos` of each caption's video.

    Raises:
        FormatError: an id occurs twice, or a text is empty; all of them at once. Or there is no caption.
    """

    def __init__(self, name: str, captions: Iterable[Caption]) -> None:
        rows = list(captions)
        _require_usable(name, rows)
        position: dict[str, int] = {}
        for row in rows:
            position.setdefault(row.video, len(position))
        self.name = name
        self.ids = tuple(row.id for row in rows)
        self.texts = tuple(row.text for row in rows)
        self.videos = tuple(position)
        self.video_of: np.ndarray = np.fromiter((position[row.video] for row in rows), np.int64, len(rows))

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Caption]:
        for caption, video, text in zip(self.ids, self.video_of.tolist(), self.texts, strict=True):
            yield Caption(caption, self.videos[video], text)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of ids, videos and texts in order."""
        digest = hashlib.sha256()
        for caption in self:
            digest.update(f"{caption.id}\t{caption.video}\t{caption.text}\n".encode())
        return f"sha256:{digest.hexdigest()}"

    def of_videos(self, videos: Collection[str], *, name: str | None = None) -> CaptionSet:
        """Those that describe one of `videos`, in the same order.

        Raises:
            FormatError: no caption does.
        """
        wanted = set(videos)
        return CaptionSet(name or self.name, (caption for caption in self if caption.video in wanted))

    def split(self, share: float, *, seed: int) -> tuple[CaptionSet, CaptionSet]:
        """Two sets without a video in common: a random `share` of the videos (at least one), and the others' captions.

        Returns:
            (the others, the share), such as (train, validation).

        Raises:
            DataError: `share` is not between 0 and 1, or there is only one video.
        """
        if not 0 < share < 1 or len(self.videos) < 2:
            raise DataError(
                "cannot split the captions by video",
                where=self.name,
                got=f"a share of {share} of {len(self.videos)} videos",
                wanted="a share between 0 and 1, of at least 2 videos",
            )
        count = min(max(round(share * len(self.videos)), 1), len(self.videos) - 1)
        chosen = np.random.default_rng(seed).permutation(len(self.videos))[:count]
        held_out = {self.videos[i] for i in chosen.tolist()}
        others = [video for video in self.videos if video not in held_out]
        return self.of_videos(others), self.of_videos(held_out)


def _require_usable(name: str, rows: list[Caption]) -> None:
    if not rows:
        raise FormatError("a collection without captions", where=name)
    problems, seen = Problems(f"captions of {name}"), set[str]()
    for row in rows:
        if row.id in seen:
            problems.add(row.id, "the id occurs twice")
        if not row.text.strip():
            problems.add(row.id, "the caption is empty")
        seen.add(row.id)
    problems.raise_if_any(FormatError)
