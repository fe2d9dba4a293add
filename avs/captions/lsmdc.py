"""LSMDC, the Large Scale Movie Description Challenge: six columns with tabs between them, and no header.

    <clip id>	<start aligned>	<end aligned>	<start extracted>	<end extracted>	<sentence>

    0001_Film_00.00.51.926-00.00.54.129	00.00.51.926	00.00.54.129	00.00.51.426	00.00.54.629	Someone waves.

As in `LSMDC16_annos_training.csv`, `LSMDC16_annos_val.csv` and `LSMDC16_challenge_1000_publictect.csv` of Rohrbach et
al. (IJCV 2017), whose names end in .csv although no comma separates anything. A clip id may come back with another
sentence (the header of CLIP4Clip's `dataloader_lsmdc_retrieval.py` says so). The video id is the clip id, which is the
name of the clip's .avi file, and the caption id is `<clip>#<k>`, where k counts its lines from 0. The times are in the
movie, not in the clip, and are not read. The blind test set has no sentences, so it holds no captions.
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

COLUMNS = 6
TIME = re.compile(r"\d+[.:]\d+[.:]\d+(?:[.:,]\d+)?")
CLIP_SUFFIX = ".avi"


def _recognises(head: str) -> bool:
    fields = first_line(head).split("\t")
    return len(fields) == COLUMNS and all(TIME.fullmatch(field.strip()) for field in fields[1:5])


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    numbering = Numbering()
    for number, line in file.lines():
        fields = line.split("\t")
        clip = fields[0].strip()
        if len(fields) != COLUMNS or not clip:
            problems.add(file.at(number), f'{len(fields)} fields, wanted {COLUMNS}, in "{line.strip()[:60]}"')
        else:
            yield SourceCaption(number, numbering.id(clip), clip, fields[-1])


caption_formats.register("lsmdc")(
    CaptionFormat(
        "<clip><tab>start aligned<tab>end<tab>start extracted<tab>end<tab>sentence",
        _recognises,
        _parse,
        video_of=lambda entry: entry.removesuffix(CLIP_SUFFIX),
    )
)
