"""ActivityNet Captions: a JSON object of videos, each with its duration, and its sentences with their times.

    {"v_QOlSCBRmfWY": {"duration": 82.73, "timestamps": [[0.83, 19.86], [17.37, 60.81]],
                       "sentences": ["A young woman dances.", "She stops."]}, ...}

As in `train.json`, `val_1.json` and `val_2.json` of Krishna et al. (ICCV 2017): 10,009, 4,917 and 4,885 videos. The
videos of val_2 are in val_1 too, where other people described them, so these files are two sets of captions and not two
sets of videos. The video id is the key, `v_` and 11 characters of YouTube, which is the name of the video's file; the
caption id is `<video>#<k>`, where k is the position in `sentences`. The times are checked and not read.

Retrieval papers (CLIP4Clip, Collaborative Experts) test on val_1 with one paragraph per video, all its sentences in the
order of the file: `captions_per_video: paragraph`. Lists of videos may name them with or without `v_`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from avs.captions.caption_format import CaptionFormat, Numbering, SourceCaption, SourceFile, caption_formats
from avs.core.errors import FormatError, Problems

PREFIX = "v_"
YOUTUBE_ID = 11  # characters
WANTED = '{"duration": seconds, "timestamps": [[start, end], ...], "sentences": [as many sentences]}'


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    videos, numbering = file.json(), Numbering()
    if not isinstance(videos, dict):
        raise FormatError("not ActivityNet", where=file.path, got=f"a JSON {type(videos).__name__}", wanted="an object")
    for video, record in videos.items():
        if not _is_record(record):
            problems.add(file.at(video), f"wanted {WANTED}")
            continue
        for k, text in enumerate(record["sentences"]):
            yield SourceCaption(f"{video}.sentences[{k}]", numbering.id(video), video, text)


def _is_record(record: Any) -> bool:
    """Whether a video has a duration, sentences, and two times for each of them."""
    if not isinstance(record, dict) or not _is_number(record.get("duration")):
        return False
    sentences, times = record.get("sentences"), record.get("timestamps")
    return (
        isinstance(sentences, list)
        and isinstance(times, list)
        and len(sentences) == len(times)
        and all(isinstance(text, str) for text in sentences)
        and all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in times)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _video_of(entry: str) -> str:
    return PREFIX + entry if len(entry) == YOUTUBE_ID else entry


caption_formats.register("activitynet")(
    CaptionFormat(
        'JSON {"v_...": {"duration": ..., "timestamps": [...], "sentences": [...]}, ...}',
        lambda head: head.lstrip().startswith("{") and '"timestamps"' in head,
        _parse,
        video_of=_video_of,
    )
)
