"""Flickr8k's token file: `<image>.jpg#<k><tab>sentence` a line.

    1000268201_693b08cb0e.jpg#0	A child in a pink dress is climbing up a set of stairs in an entry way .

As Hodosh, Young and Hockenmaier (JAIR 2013) publish it (`Flickr8k.token.txt`, `Flickr8k.lemma.token.txt`, and
Flickr30k's `results_20130124.token`): k counts from 0 to 4. The video id is the image's name without `.jpg`, and the
caption id `<image>#<k>`. The file writes captions of one image, 2258277193_586949ec62, with `.jpg.1` for `.jpg`: what
follows `.jpg` up to the `#` is no part of the id, so that image has its five captions too.

Lists of images (`Flickr_8k.trainImages.txt`) hold `<image>.jpg` a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from avs.captions.caption_format import CaptionFormat, SourceCaption, SourceFile, caption_formats, first_line
from avs.core.errors import Problems

IMAGE = re.compile(r"(?P<image>[^\s#]+?)\.jpg(?:\.\d+)?#(?P<k>\d+)\t")


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    for number, line in file.lines():
        found = IMAGE.match(line)
        if found is None:
            problems.add(file.at(number), f'no <image>.jpg#<k> and tab at the beginning of "{line.strip()[:60]}"')
        else:
            yield SourceCaption(number, f"{found['image']}#{found['k']}", found["image"], line[found.end() :])


caption_formats.register("flickr8k")(
    CaptionFormat(
        "<image>.jpg#<k><tab>sentence",
        lambda head: IMAGE.match(first_line(head)) is not None,
        _parse,
        video_of=lambda entry: entry.removesuffix(".jpg"),
    )
)
