"""Reads the captions of a collection in any registered format, and lists of videos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from avs.captions import (  # noqa: F401  each registers its formats
    activitynet,
    didemo,
    flickr8k,
    lsmdc,
    msrvtt,
    msvd,
    ruc,
    tgif,
    vatex,
    webvid,
)
from avs.captions.caption_format import (
    HEAD_CHARACTERS,
    CaptionFormat,
    SourceCaption,
    SourceFile,
    caption_formats,
    first_line,
    read_source,
)
from avs.captions.per_video import CaptionsPerVideo, captions_per_video
from avs.captions.published_counts import remark_on_counts, split_name
from avs.core.captions import Caption, CaptionSet
from avs.core.errors import ConfigError, FormatError, Problems, UnknownIdError, did_you_mean
from avs.core.ids import some

COLUMN = "video_id"  # of a comma-separated list of videos


@dataclass(frozen=True, slots=True, eq=False)
class CaptionFile:
    """The captions of a file, and what there is to say about it.

    Attributes:
        captions: those that count.
        format: one of `caption_formats`.
        remark: one line, if the file is a known part of a collection and its counts are not the published ones.
    """

    captions: CaptionSet
    format: str
    remark: str | None


def read_captions(
    path: Path,
    *,
    format: str | None = None,
    split: str | None = None,
    name: str | None = None,
    per_video: CaptionsPerVideo = "all",
) -> CaptionSet:
    """The captions of a file in its order, as `read_caption_file` reads them."""
    return read_caption_file(path, format=format, split=split, name=name, per_video=per_video).captions


def read_caption_file(
    path: Path,
    *,
    format: str | None = None,
    split: str | None = None,
    name: str | None = None,
    per_video: CaptionsPerVideo = "all",
) -> CaptionFile:
    """The captions of a file in its order. White space within a sentence becomes single spaces.

    Args:
        format: one of `caption_formats`; None: recognise it from the beginning of the file.
        split: part of the collection to read: a name that the file itself gives (MSR-VTT's JSON: train, validate,
            test), several of these with "+" between them (train+validate), or a file that lists the videos, one per
            line or as a csv with a video_id column.
        name: name of the collection; None: that of the file, followed by "-" and the name of the split if there is one.
        per_video: the captions of each video that count: all, the first, or all as one paragraph.

    Raises:
        FormatError: the file is not UTF-8, or its format is not recognised; or lines in another layout, repeated ids
            and empty captions, all at once with their lines.
        ConfigError: an unknown format or split.
        UnknownIdError: the split lists videos that have no caption here.
    """
    path = Path(path)
    file = read_source(path)
    format = format if format is not None else _recognised(file)
    layout = caption_formats.get(format)
    problems = Problems(f"captions {path}")
    captions = list(layout.parse(file, problems))
    _check(captions, file, problems)
    problems.raise_if_any(FormatError, next_step=f"a file of this format holds: {layout.layout}")
    if not captions:
        raise FormatError("no captions", where=path, wanted=layout.layout)
    name = name or path.name.removesuffix(path.suffix).removesuffix(".caption")
    if split is not None:
        captions = _of_split(captions, split, layout, path)
        name = f"{name}-{split_name(split)}"
    found = CaptionSet(name, (Caption(c.id, c.video, " ".join(c.text.split())) for c in captions))
    remark = remark_on_counts(found, format=format, path=path, split=split)
    return CaptionFile(captions_per_video(found, per_video), format, remark)


def read_video_list(path: Path) -> tuple[str, ...]:
    """The entries of a list of videos in its order: ids, or URLs and file names where a collection lists these.

    A list has one entry per line, as in VideoSets of VisualSearch and the split lists of TGIF, MSVD and Flickr8k; or it
    is comma-separated with a column `video_id`, as MSR-VTT's `MSRVTT_train.9k.csv` and `MSRVTT_JSFUSION_test.csv`.

    Raises:
        FormatError: the file is not UTF-8 or has no entries; or lines have several words, all named at once.
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


def _recognised(file: SourceFile) -> str:
    """The name of the only format that the file fits."""
    head = file.text[:HEAD_CHARACTERS]
    fitting = [name for name in caption_formats if caption_formats.get(name).recognises(head)]
    if len(fitting) == 1:
        return fitting[0]
    known = "\n".join(f"    {name:<11} {caption_formats.get(name).layout}" for name in fitting or caption_formats)
    raise FormatError(
        "the file fits several caption formats" if fitting else "not a known caption format",
        where=file.path,
        got=f'"{first_line(head)[:80]}"' if head.strip() else "an empty file",
        wanted=f"one of\n{known}",
        next_step="name the format",
    )


def _check(captions: Iterable[SourceCaption], file: SourceFile, problems: Problems) -> None:
    first: dict[str, int | str] = {}
    for caption in captions:
        before = first.setdefault(caption.id, caption.place)
        if before != caption.place:
            problems.add(file.at(caption.place), f"{caption.id} was used before, at {before}")
        if not caption.text.strip():
            problems.add(file.at(caption.place), f"the caption {caption.id} is empty")


def _of_split(captions: list[SourceCaption], split: str, layout: CaptionFormat, path: Path) -> list[SourceCaption]:
    """The captions of splits that the file names, or of the videos that the file `split` lists."""
    named = dict.fromkeys(caption.split for caption in captions if caption.split is not None)
    parts = [split] if split in named else split.split("+")
    if set(parts) <= set(named):
        return [caption for caption in captions if caption.split in parts]
    if not Path(split).is_file():
        raise ConfigError(
            f'unknown split "{split}"{did_you_mean(split, named)}',
            where=path,
            got="neither a split of this file nor a file that lists videos",
            wanted=", ".join([*named, "or a file with one video per line"]),
        )
    videos = {layout.video_of(entry) for entry in read_video_list(Path(split))}
    known = {caption.video for caption in captions}
    if missing := sorted(videos - known):
        raise UnknownIdError(
            f"{len(missing)} of {len(videos)} videos of the split have no caption",
            where=split,
            got=some(missing),
            wanted=f"videos of {path}, such as {captions[0].video}",
        )
    return [caption for caption in captions if caption.video in videos]
