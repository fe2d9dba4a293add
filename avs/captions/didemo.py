"""DiDeMo: a JSON array of moments, each with its video, its description, and where annotators saw it.

    [{"annotation_id": 1, "video": "12345678@N00_1234567890_0a1b2c3d4e.mov", "description": "a cat jumps",
      "times": [[2, 2], [1, 2], [2, 2], [2, 2]], "num_segments": 6, "dl_link": "..."}, ...]

As in `train_data.json`, `val_data.json` and `test_data.json` of Hendricks et al. (ICCV 2017): 8,395, 1,065 and 1,004
videos. `times` counts pieces of five seconds: [1, 4] of an annotator is from second 5 to second 25.

The video id is the name of the file without its suffix, and the caption id `<video>#<k>`, where k counts its moments
from 0 in the order of the file. The files write the same video with two suffixes (33 of the 1,004 test videos: .mov in
one moment, .mp4 in the next), and some names end with the dot. CLIP4Clip compares whole names with the lists of
Collaborative Experts, so 89 of the 4,021 test descriptions, and 71 of the 4,180 of validation, are in no paragraph of
its; here they are in their video's.

Retrieval papers use one paragraph per video, all its descriptions in the order of the file (`captions_per_video:
paragraph`), and its first 31 seconds, because annotators saw no more than 30 (CLIP4Clip's
`dataloader_didemo_retrieval.py`). Rows that CLIP4Clip's table 5 marks with a dagger show the search only the moments
that are described: `spans` with `proposals`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from avs.captions.caption_format import (
    CaptionFormat,
    Numbering,
    SourceCaption,
    SourceFile,
    caption_formats,
    read_source,
    text_of,
)
from avs.core.errors import FormatError, Problems

PIECE_S = 5.0
RETRIEVAL_S = 31.0
WANTED = '{"video": "...", "description": "...", "times": [[first piece, last piece], ...]}'
Span = tuple[float, float]


def spans(path: Path, videos: Sequence[str], *, proposals: bool) -> Mapping[str, tuple[Span, ...]]:
    """Video id -> the stretches [start_s, end_s) of it that retrieval sees, in time order and apart from each other.

    Args:
        path: a file of moments.
        videos: the videos that are wanted.
        proposals: only the described moments, one after another; off: the first 31 seconds. A moment begins and ends
            at the mean over its annotators, as CLIP4Clip's code computes it.

    Raises:
        FormatError: lines in another layout, all at once.
    """
    if not proposals:
        return {video: ((0.0, RETRIEVAL_S),) for video in videos}
    file, problems = read_source(Path(path)), Problems(f"moments {path}")
    moments: dict[str, list[Span]] = {video: [] for video in videos}
    for _, video, _, times in _records(file, problems):
        if video in moments:
            starts, ends = zip(*times, strict=True)
            mean_start, mean_end = sum(starts) / len(starts), sum(ends) / len(ends)
            moments[video].append((PIECE_S * mean_start, PIECE_S * (mean_end + 1)))
    problems.raise_if_any(FormatError)
    return {video: _union(found) for video, found in moments.items()}


def _union(found: Sequence[Span]) -> tuple[Span, ...]:
    """Stretches that cover the same time, without overlap."""
    apart: list[Span] = []
    for start, end in sorted(found):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return tuple(apart)


def _records(file: SourceFile, problems: Problems) -> Iterator[tuple[int, str, str, list[tuple[int, int]]]]:
    """Position, video, description, and every annotator's first and last piece, of each moment."""
    records = file.json()
    if not isinstance(records, list):
        raise FormatError("not DiDeMo", where=file.path, got=f"a JSON {type(records).__name__}", wanted="an array")
    for i, record in enumerate(records):
        video = text_of(record, "video") if isinstance(record, dict) else None
        text = text_of(record, "description") if isinstance(record, dict) else None
        times = _times(record.get("times")) if isinstance(record, dict) else None
        if not video or text is None or not times:
            problems.add(file.at(f"[{i}]"), f"wanted {WANTED}")
        else:
            yield i, _video_of(video), text, times


def _times(value: Any) -> list[tuple[int, int]]:
    """Every annotator's first and last piece; [] unless all are."""
    pairs = value if isinstance(value, list) else []
    good = all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(piece, int) and not isinstance(piece, bool) for piece in pair)
        and 0 <= pair[0] <= pair[1]
        for pair in pairs
    )
    return [(first, last) for first, last in pairs] if good else []


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    numbering = Numbering()
    for i, video, text, _ in _records(file, problems):
        yield SourceCaption(f"[{i}]", numbering.id(video), video, text)


def _video_of(entry: str) -> str:
    """A video by the name of its file, whose suffix may be empty."""
    stem, dot, _ = entry.rpartition(".")
    return stem if dot else entry


caption_formats.register("didemo")(
    CaptionFormat(
        'JSON [{"video": ..., "description": ..., "times": [[first, last], ...]}, ...]',
        lambda head: head.lstrip().startswith("[") and '"description"' in head and '"times"' in head,
        _parse,
        video_of=_video_of,
    )
)
