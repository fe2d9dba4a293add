"""Lists of videos: which of a collection are in a split."""

from __future__ import annotations

from pathlib import Path

from avs.captions.caption_format import read_source
from avs.core.errors import FormatError, Problems

COLUMN = "video_id"


def read_video_list(path: Path) -> tuple[str, ...]:
    """The entries of a list of videos, in its order: ids, or what else a collection names its videos by.

    One a line, as in VideoSets of VisualSearch and the split lists of TGIF, MSVD and Flickr8k; or comma-separated
    with a column `video_id`, as in MSR-VTT's `MSRVTT_train.9k.csv` and `MSRVTT_JSFUSION_test.csv`.

    Raises:
        FormatError: not UTF-8, no entries, or lines of several words; all at once.
    """
    file, problems = read_source(Path(path)), Problems(f"list of videos {path}")
    first = next((line for _, line in file.lines()), "")
    if COLUMN in first.split(","):
        entries = tuple(video.strip() for _, (video,) in file.rows((COLUMN,), problems))
    else:
        entries = tuple(line.strip() for _, line in file.lines())
        for number, line in file.lines():
            if len(line.split()) != 1:
                problems.add(file.at(number), f'wanted one video, got "{line.strip()[:60]}"')
    problems.raise_if_any(FormatError)
    if not entries:
        raise FormatError("a list without videos", where=path)
    return entries
