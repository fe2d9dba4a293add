"""MSR-VTT, as JSON and as the csv of its 1k-A test set.

`msrvtt`, the annotations of Xu et al. (CVPR 2016; `train_val_videodatainfo.json`, `test_videodatainfo.json`, or both in
one `MSRVTT_data.json`): 10,000 videos of 20 sentences, each video in the split `train` (6,513), `validate` (497) or
`test` (2,990), which is what `split` may name:

    {"videos": [{"video_id": "video0", "split": "train", ...}, ...],
     "sentences": [{"sen_id": 0, "video_id": "video0", "caption": "a car is shown"}, ...]}

`msrvtt-1ka`, the 1,000 pairs of JSFusion (Yu et al., ECCV 2018; `MSRVTT_JSFUSION_test.csv`):

    key,vid_key,video_id,sentence
    ret0,msr9770,video9770,a person is connecting something to system

In both, the video id is `video_id` and the caption id `<video>#<k>`, where k counts the sentences of a video from 0 in
the order of the file. Training "7k" is the two splits `train+validate`, 6,513 + 497 videos. "9k" is all but the 1,000
of 1k-A: a `split` of the JSON that is a file, `MSRVTT_train.9k.csv` with a column `video_id` (there is one of 7k too).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from avs.captions.caption_format import (
    CaptionFormat,
    Numbering,
    SourceCaption,
    SourceFile,
    caption_formats,
    first_line,
    text_of,
)
from avs.core.errors import FormatError, Problems

COLUMNS = ("video_id", "sentence")


def _recognises(head: str) -> bool:
    named = '"videos"' in head or '"sentences"' in head
    return head.lstrip().startswith("{") and named and '"timestamps"' not in head  # which only ActivityNet has


def _parse(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    videos, sentences = _arrays(file)
    splits, numbering = _splits(videos, file, problems), Numbering()
    seen: dict[tuple[str, Any], int] = {}
    for i, sentence in enumerate(sentences):
        where = file.at(f"sentences[{i}]")
        video, text = text_of(sentence, "video_id"), text_of(sentence, "caption")
        number = sentence.get("sen_id")
        if video is None or text is None:
            problems.add(where, 'wanted {"video_id": "...", "caption": "..."}')
        elif video not in splits:
            problems.add(where, f"{video} is none of the videos")
        elif number is not None and (video, number) in seen:
            problems.add(where, f"sen_id {number} of {video} was used before, at sentences[{seen[video, number]}]")
        else:
            seen[video, number] = i
            yield SourceCaption(f"sentences[{i}]", numbering.id(video), video, text, splits[video])


def _arrays(file: SourceFile) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    data = file.json()
    arrays = [data.get(key) if isinstance(data, dict) else None for key in ("videos", "sentences")]
    for array in arrays:
        if not isinstance(array, list) or not all(isinstance(record, dict) for record in array):
            raise FormatError("not MSR-VTT", where=file.path, wanted='{"videos": [{...}], "sentences": [{...}]}')
    return arrays[0], arrays[1]  # type: ignore[return-value]


def _splits(videos: list[dict[str, Any]], file: SourceFile, problems: Problems) -> dict[str, str]:
    """Video id -> the split it is in."""
    splits: dict[str, str] = {}
    for i, record in enumerate(videos):
        video, split = text_of(record, "video_id"), text_of(record, "split")
        if not video or not split:
            problems.add(file.at(f"videos[{i}]"), 'wanted {"video_id": "...", "split": "..."}')
        elif splits.setdefault(video, split) != split:
            problems.add(file.at(f"videos[{i}]"), f"{video} is in {split}, and before in {splits[video]}")
    return splits


def _parse_csv(file: SourceFile, problems: Problems) -> Iterator[SourceCaption]:
    numbering = Numbering()
    for line, (video, text) in file.rows(COLUMNS, problems):
        if not video.strip():
            problems.add(file.at(line), "no video_id")
        else:
            yield SourceCaption(line, numbering.id(video.strip()), video.strip(), text)


caption_formats.register("msrvtt")(
    CaptionFormat(
        'JSON {"videos": [...], "sentences": [...]}',
        _recognises,
        _parse,
    )
)
caption_formats.register("msrvtt-1ka")(
    CaptionFormat(
        "csv with the columns key, vid_key, video_id, sentence",
        lambda head: set(COLUMNS) <= set(first_line(head).split(",")),
        _parse_csv,
    )
)
