"""WebVid: comma-separated values with the columns videoid, contentUrl, duration, page_dir, name.

    videoid,contentUrl,duration,page_dir,name
    21179416,https://.../preview.mp4,PT00H00M11S,006001_006050,Aerial shot winter forest

As in `results_2M_train.csv` of Bain et al. (ICCV 2021): a row is a video, and `name` is its only caption. The video
id is `videoid`, the caption id `<videoid>#0`. The other columns are not read.
"""

from __future__ import annotations

from collections.abc import Iterator

from avs.captions.caption_format import CaptionFormat, SourceCaption, SourceFile, caption_formats, first_line
from avs.core.errors import Problems


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    for line, (video, name) in file.rows(("videoid", "name"), problems):
        if not video.strip():
            problems.add(file.at(line), "no videoid")
        else:
            yield SourceCaption(line, f"{video.strip()}#0", video.strip(), name)


caption_formats.register("webvid")(
    CaptionFormat(
        "csv with the columns videoid, ..., name",
        lambda head: {"videoid", "name"} <= set(first_line(head).split(",")),
        _parse,
    )
)
