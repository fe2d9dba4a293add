"""How many captions of each video count: all, the first, or all of them as one paragraph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

from avs.core.captions import Caption, CaptionSet
from avs.core.errors import ConfigError

CaptionsPerVideo = Literal["all", "first", "paragraph"]
PARAGRAPH_ID = "{video}#paragraph"


def captions_per_video(captions: CaptionSet, how: CaptionsPerVideo) -> CaptionSet:
    """The captions that count, in the order in which their videos first appear.

    Args:
        how: "all" gives the captions as they are. "first" gives the first caption of each video in the order of the
            file, under its own id (CLIP-straight's study of aggregations). "paragraph" joins the captions of each video
            in the order of the file with spaces into one, whose id is `<video>#paragraph` (CLIP4Clip on ActivityNet and
            DiDeMo). The files of these two are in the order that the released code joins them in, which is mostly,
            not always, that of time.

    Raises:
        ConfigError: no such way to choose.
    """
    if how not in get_args(CaptionsPerVideo):
        raise ConfigError("no such captions per video", got=how, wanted=", ".join(get_args(CaptionsPerVideo)))
    if how == "all":
        return captions
    return CaptionSet(captions.name, _firsts(captions) if how == "first" else _paragraphs(captions))


def _firsts(captions: CaptionSet) -> Iterator[Caption]:
    seen = set[str]()
    for caption in captions:
        if caption.video not in seen:
            seen.add(caption.video)
            yield caption


def _paragraphs(captions: CaptionSet) -> Iterator[Caption]:
    texts: dict[str, list[str]] = {video: [] for video in captions.videos}
    for caption in captions:
        texts[caption.video].append(caption.text)
    for video, of_video in texts.items():
        yield Caption(PARAGRAPH_ID.format(video=video), video, " ".join(of_video))
