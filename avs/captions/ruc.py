"""Caption files of RUC's VisualSearch collections: `<video>#<k> sentence` per line.

    buJ5HDCinrM_150_166#0 A woman is putting make up on her face.
    video7010#enc#3 a man is driving a car

The caption id ends at the first white space, and the video id at the first `#`. The captions of tgif-msrvtt10k,
tv2016train, VATEX and V3C1-PC that go with W2VV++, SEA, Dual Encoding and LAFF have this layout (their readers split at
the same places), and so have those of CERTH, whose ids contain `#enc#`. It is the only layout that avs also writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from avs.captions.caption_format import CaptionFormat, SourceCaption, SourceFile, caption_formats, first_line
from avs.captions.flickr8k import IMAGE
from avs.core.artifacts import atomic_write
from avs.core.captions import CaptionSet
from avs.core.errors import DataError, Problems

ID = re.compile(r"(?P<video>[^\s#]+)#\S+")


def _recognises(head: str) -> bool:
    words = first_line(head).split(None, 1)
    return len(words) == 2 and ID.fullmatch(words[0]) is not None and not IMAGE.match(first_line(head))


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    for number, line in file.lines():
        caption, *rest = line.split(None, 1)
        match = ID.fullmatch(caption)
        if match is None:
            problems.add(file.at(number), f'no caption id <video>#<k> before "{line.strip()[:60]}"')
        else:
            yield SourceCaption(number, caption, match["video"], rest[0] if rest else "")


caption_formats.register("ruc")(CaptionFormat("<video>#<k> sentence", _recognises, _parse))


def write_captions(captions: CaptionSet, path: Path) -> None:
    """Write captions as `<id> sentence` lines. Reading these gives the same ids, videos and sentences.

    White space inside a sentence becomes single spaces, as when it is read.

    Raises:
        DataError: an id that does not fit the layout: it is not `<video>#<k>` of its video, or has white space in it.
    """
    problems = Problems(f"captions of {captions.name} as {path}")
    for caption in captions:
        match = ID.fullmatch(caption.id)
        if match is None or match["video"] != caption.video:
            problems.add(caption.id, f"a caption of {caption.video} must have an id such as {caption.video}#0")
    problems.raise_if_any(DataError)
    with atomic_write(path) as file:
        file.writelines(f"{caption.id} {' '.join(caption.text.split())}\n" for caption in captions)
