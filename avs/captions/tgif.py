"""TGIF: `<url of a GIF><tab>sentence` per line.

    https://38.media.tumblr.com/9f6c25cc350f12aa74a7dc386a5c4985/tumblr_mevmyaKtDf1rgvhr8o1_500.gif	a man is glaring

As in `tgif-v1.0.tsv` of Li et al. (CVPR 2016): 125,782 sentences, several lines for a GIF that has several. The video
id is the GIF's file name without `.gif`, as in RUC's collections, and the caption id is `<video>#<k>`, where k counts
its lines from 0. The lists of the splits (`train.txt`, `val.txt`, `test.txt`) have one URL per line; ids are read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from avs.captions.caption_format import (
    CaptionFormat,
    Numbering,
    SourceCaption,
    SourceFile,
    caption_formats,
    first_line,
)
from avs.core.errors import Problems

URL = re.compile(r"https?://\S+/(?P<stem>[^\s/#]+)\.gif")


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    numbering = Numbering()
    for number, line in file.lines():
        url, tab, text = line.partition("\t")
        match = URL.fullmatch(url)
        if match is None or not tab:
            problems.add(file.at(number), f'no URL of a .gif and tab at the beginning of "{line.strip()[:60]}"')
        else:
            yield SourceCaption(number, numbering.id(match["stem"]), match["stem"], text)


def _video_of(entry: str) -> str:
    match = URL.fullmatch(entry)
    return match["stem"] if match else entry.removesuffix(".gif")


caption_formats.register("tgif")(
    CaptionFormat(
        "<url of a GIF><tab>sentence",
        lambda head: URL.fullmatch(first_line(head).partition("\t")[0]) is not None,
        _parse,
        video_of=_video_of,
    )
)
