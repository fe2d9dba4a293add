"""Caption files of RUC's VisualSearch collections: `<video>#<k> sentence` a line.

    buJ5HDCinrM_150_166#0 A woman is putting make up on her face.
    video7010#enc#3 a man is driving a car

What stands before the first white space is the caption's id, and before its first `#` the video's. The captions of
tgif-msrvtt10k, tv2016train, VATEX and V3C1-PC that go with W2VV++, SEA, Dual Encoding and LAFF come so (their readers
split at the same places), and those of CERTH, whose ids have `#enc#`. It is the one layout that is also written.
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
        found = ID.fullmatch(caption)
        if found is None:
            problems.add(file.at(number), f'no caption id <video>#<k> before "{line.strip()[:60]}"')
        else:
            yield SourceCaption(number, caption, found["video"], rest[0] if rest else "")


caption_formats.register("ruc")(CaptionFormat("<video>#<k> sentence", _recognises, _parse))


def write_captions(captions: CaptionSet, path: Path) -> None:
    """Write captions as `<id> sentence` lines; reading them gives the same ids, videos and sentences.

    White space inside a sentence becomes single spaces, as readers leave it.

    Raises:
        DataError: an id that this layout cannot hold: not `<video>#<k>` with its own video, or with white space in it.
    """
    problems = Problems(f"captions of {captions.name} as {path}")
    for caption in captions:
        found = ID.fullmatch(caption.id)
        if found is None or found["video"] != caption.video:
            problems.add(caption.id, f"a caption of {caption.video} must have an id such as {caption.video}#0")
    problems.raise_if_any(DataError)
    with atomic_write(path) as file:
        file.writelines(f"{caption.id} {' '.join(caption.text.split())}\n" for caption in captions)
