"""Flickr8k's token file: `<image>.jpg#<k><tab>sentence` per line.

    1000268201_693b08cb0e.jpg#0	A child in a pink dress is climbing up a set of stairs in an entry way .

As Hodosh, Young and Hockenmaier (JAIR 2013) publish it (`Flickr8k.token.txt`, `Flickr8k.lemma.token.txt`, and
Flickr30k's `results_20130124.token`): k counts from 0 to 4. The video id is the image's name without `.jpg`, and the
caption id is `<image>#<k>`. For one image, 2258277193_586949ec62, the file writes `.jpg.1` instead of `.jpg`. The id
ends before `.jpg`, so that image has its five captions too.

Lists of images (`Flickr_8k.trainImages.txt`) have one `<image>.jpg` per line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from avs.captions.caption_format import CaptionFormat, SourceCaption, SourceFile, caption_formats, first_line
from avs.core.errors import Problems

IMAGE = re.compile(r"(?P<image>[^\s#]+?)\.jpg(?:\.\d+)?#(?P<k>\d+)\t")


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    for number, line in file.lines():
        match = IMAGE.match(line)
        if match is None:
            problems.add(file.at(number), f'no <image>.jpg#<k> and tab at the beginning of "{line.strip()[:60]}"')
        else:
            yield SourceCaption(number, f"{match['image']}#{match['k']}", match["image"], line[match.end() :])


caption_formats.register("flickr8k")(
    CaptionFormat(
        "<image>.jpg#<k><tab>sentence",
        lambda head: IMAGE.match(first_line(head)) is not None,
        _parse,
        video_of=lambda entry: entry.removesuffix(".jpg"),
    )
)
