"""VATEX: a JSON array of `{"videoID": ..., "enCap": [10 sentences], "chCap": [10 sentences]}`.

    [{"videoID": "nJ6KPT1uwe8_000047_000057", "enCap": ["A woman is carving a pumpkin", ...], "chCap": [...]}, ...]

As in `vatex_training_v1.0.json` of Wang et al. (ICCV 2019), 25,991 videos. The video id is `videoID`, which is
`<YouTube id>_<start>_<end>` in seconds; the caption id is `<videoID>#<k>`, where k is the position in `enCap`. The
Chinese captions are not read. Each split is a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from avs.captions.caption_format import CaptionFormat, Numbering, SourceCaption, SourceFile, caption_formats, text_of
from avs.core.errors import FormatError, Problems


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    records, seen = file.json(), dict[str, int]()
    if not isinstance(records, list):
        raise FormatError("not VATEX", where=file.path, got=f"a JSON {type(records).__name__}", wanted="an array")
    for i, record in enumerate(records):
        where = file.at(f"[{i}]")
        video = text_of(record, "videoID") if isinstance(record, dict) else None
        sentences = record.get("enCap") if isinstance(record, dict) else None
        if not video or not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
            problems.add(where, 'wanted {"videoID": "...", "enCap": ["...", ...]}')
        elif video in seen:
            problems.add(where, f"video {video} was used before, at [{seen[video]}]")
        else:
            seen[video], numbering = i, Numbering()
            for k, text in enumerate(sentences):
                yield SourceCaption(f"[{i}].enCap[{k}]", numbering.id(video), video, text)


caption_formats.register("vatex")(
    CaptionFormat(
        'JSON [{"videoID": ..., "enCap": [...]}, ...]',
        lambda head: head.lstrip().startswith("[") and '"videoID"' in head,
        _parse,
    )
)
