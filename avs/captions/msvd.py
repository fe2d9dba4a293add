"""MSVD, the Microsoft Research Video Description Corpus, in the two layouts it is published in.

`msvd`, the English descriptions (`AllVideoDescriptions.txt`): a few lines of preface, then `<video> sentence` per line:

    -4wsuPCjDBc_5_15 a squirrel is eating a peanut in it's shell

`msvd-csv`, the whole corpus of Chen and Dolan (ACL 2011), comma-separated with the columns VideoID, Start, End,
WorkerID, Source, AnnotationTime, Language, Description:

    mv89psg6zh4,33,46,588702,unverified,55,English,A bird in a sink keeps getting under the running water from a faucet.

In both, the video id is `<YouTube id>_<start>_<end>` (seconds) and the caption id `<video>#<k>`, where k counts its
English sentences from 0 in the order of the file. In the csv only rows whose Language is English are captions, from
any Source; other languages are not read.
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

VIDEO = re.compile(r"\S{11}_\d+_\d+")
LONGEST_PREFACE = 20  # lines; AllVideoDescriptions.txt has seven
COLUMNS = ("VideoID", "Start", "End", "Language", "Description")


def _is_caption(line: str) -> bool:
    words = line.split(None, 1)
    return len(words) == 2 and VIDEO.fullmatch(words[0]) is not None


def _recognises(head: str) -> bool:
    return any(_is_caption(line) for line in head.split("\n")[: LONGEST_PREFACE + 1])


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    numbering, in_preface = Numbering(), True
    for number, line in file.lines():
        video, *rest = line.split(None, 1)
        if VIDEO.fullmatch(video):
            in_preface = False
            yield SourceCaption(number, numbering.id(video), video, rest[0] if rest else "")
        elif not in_preface or number > LONGEST_PREFACE:
            problems.add(file.at(number), f'no <YouTube id>_<start>_<end> before "{line.strip()[:60]}"')


def _parse_csv(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    numbering = Numbering()
    for line, (youtube, start, end, language, text) in file.rows(COLUMNS, problems):
        if language != "English":
            continue
        video = f"{youtube}_{start}_{end}"
        if VIDEO.fullmatch(video) is None:
            problems.add(
                file.at(line), f"VideoID, Start, End are {youtube}, {start}, {end}; wanted 11 characters, seconds"
            )
        else:
            yield SourceCaption(line, numbering.id(video), video, text)


caption_formats.register("msvd")(CaptionFormat("<YouTube id>_<start>_<end> sentence", _recognises, _parse))
caption_formats.register("msvd-csv")(
    CaptionFormat(
        "csv with the columns VideoID, Start, End, ..., Language, Description",
        lambda head: set(COLUMNS) <= set(first_line(head).split(",")),
        _parse_csv,
    )
)
