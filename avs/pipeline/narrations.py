"""Narrated videos as a collection to train on: clips in a shot table, and what is said in them as captions.

shots.tsv       the clips, shot<video>_<n>
captions.txt    what is said in each of them, in RUC's form
problems.tsv    videos without a clip, captions that were left out or cut; each with the reason
manifest.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from avs.captions.narrated_clips import NarratedClip, join_narrations
from avs.captions.narrations import NO_TEXT, narrations_of, read_narrated_videos
from avs.captions.read import read_video_list
from avs.captions.ruc import write_captions
from avs.core.artifacts import (
    Manifest,
    atomic_write,
    complete_folder,
    fingerprint_content,
    fingerprint_input,
    is_up_to_date,
    require_path,
    require_place,
)
from avs.core.captions import Caption, CaptionSet
from avs.core.errors import DataError, FormatError, Problems, in_few_lines, typed
from avs.core.failures import require_few_failures
from avs.core.ids import format_shot_id, some
from avs.core.progress import Reporter, Stage
from avs.core.shots import ShotTable, read_shot_table, write_shot_table
from avs.features.text.clip_tokens import ClipTokens
from avs.pipeline.train.backbone import open_backbone
from avs.video.find import video_id

NARRATED_TYPE = "narrated-clips"
SHOTS, CAPTIONS = "shots.tsv", "captions.txt"
NO_LIMIT = 1 << 31  # tokens of a caption that is only counted
ENDS = 2  # tokens that begin and end every text
NO_CAPTIONS, NO_FILE = "no captions", "no such video in the shot table"


@dataclass(frozen=True, slots=True)
class NarrationSources:
    """What narrated clips are made of.

    Attributes:
        captions: JSON of what is said in the videos, see avs.captions.narrations.
        shots: shot table of the video files, whose last shots end with them; `avs shots --per-file` makes one.
        listed: list of the videos to take; None: all of the shot table.
        backbone: the CLIP whose tokens count: a name of the catalog, or a folder of weights.
        max_words: tokens of a clip's text, with its start and its end.
    """

    captions: Path
    shots: Path
    listed: Path | None
    backbone: str
    max_words: int


@dataclass(slots=True)
class Found:
    """What was found in the captions of videos.

    Attributes:
        clips: video -> its clips.
        failed: name of a video -> why it has no clip.
        left_out, cut: caption, as VIDEO[number] -> why it is left out, or that it is cut.
        captions: how many the videos have that were read.
        unlisted: how many videos have captions and are not to be taken.
    """

    clips: dict[str, list[NarratedClip]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    cut: dict[str, str] = field(default_factory=dict)
    captions: int = 0
    unlisted: int = 0


def import_narrations(
    sources: NarrationSources, out: Path, *, max_failed: float = 0.05, force: bool = False, reporter: Reporter
) -> dict[str, Any]:
    """Write the folder `out` of narrated clips.

    Args:
        max_failed: share of the videos that may have no clip, and of their captions that may be left out.

    Returns:
        A summary: path, seconds, counts; or path and "up_to_date".

    Raises:
        FormatError: the captions are not JSON of HowTo100M, or have a video twice; a list or table that cannot be read.
        DataError: no video has a clip.
        TooManyFailuresError: too many videos or captions failed; no clips are written.
        AvsError: no such backbone; something else is in the way.
    """
    start = perf_counter()
    require_place(out, NARRATED_TYPE, sign="problems.tsv")
    tokens = ClipTokens("clip-tokens", open_backbone(sources.backbone).folder, max_words=NO_LIMIT)
    manifest = _manifest(sources, tokens, max_failed)
    if is_up_to_date(out, manifest, force=force, reporter=reporter):
        return {"path": str(out), "up_to_date": True}
    table = read_shot_table(sources.shots)
    ends_s = {shot.video: shot.end_s for shot in table}  # of a video's shots the last one stays
    listed = read_video_list(require_path(sources.listed, what="list of videos")) if sources.listed else None
    if listed is not None and len(set(listed)) < len(listed):
        twice = [video for video, count in Counter(listed).items() if count > 1]
        reporter.say(f"{len(twice)} videos are listed more than once and taken once: {some(twice)}")
    with reporter.stage("narrations", len(set(listed)) if listed else len(ends_s), "videos") as stage:
        found = _read(sources, ends_s, None if listed is None else frozenset(listed), tokens, stage)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("manifest.json", SHOTS, CAPTIONS):  # what was there before is not taken for what follows
        (out / name).unlink(missing_ok=True)
    problems = _write_problems(found, out)
    _say(found, "list" if listed else "shot table", reporter)
    _require_clips(found, sources, problems, max_failed)
    counts = _write_clips(found, out)
    seconds = perf_counter() - start
    complete_folder(out, replace(manifest, counts=counts, seconds=seconds))
    reporter.say(
        f"wrote {out}: {counts['clips']} clips of {counts['videos']} videos, joined of {counts['captions']} captions; "
        f"{counts['clip_s']:g} s and {counts['clip_tokens']:g} tokens on average"
    )
    return {"path": str(out), "seconds": round(seconds, 3), **counts}


def _manifest(sources: NarrationSources, tokens: ClipTokens, max_failed: float) -> Manifest:
    config = {"max_words": sources.max_words, "max_failed": max_failed}
    paths = {"captions": sources.captions, **({"list": sources.listed} if sources.listed else {})}
    inputs = {name: fingerprint_content(require_path(path, what=f"file of the {name}")) for name, path in paths.items()}
    paths["shots"] = require_path(sources.shots, what="shot table")
    inputs["shots"] = fingerprint_input(sources.shots)
    return Manifest(NARRATED_TYPE, config, {**inputs, "tokenizer": tokens.to_json()["fingerprint"]}, paths=paths)


def _read(
    sources: NarrationSources,
    ends_s: Mapping[str, float],
    listed: frozenset[str] | None,
    tokens: ClipTokens,
    stage: Stage,
) -> Found:
    """The clips of the listed videos that have a file, and what is wrong with the others.

    Args:
        ends_s: video -> how long it lasts.
        listed: names of videos; None: the videos that have a file.
    """
    found, problems = Found(), Problems(f"captions {sources.captions}")
    seen: dict[str, str] = {}

    def count(texts: Sequence[str]) -> list[int]:
        lengths: list[int] = (np.diff(tokens.columns(texts)[0].offsets) - ENDS).tolist()
        return lengths

    for name, record in read_narrated_videos(sources.captions):
        if name in seen:
            problems.add(_shown(name), "the video occurs twice")
            continue
        video = seen[name] = "" if NO_TEXT.search(name) else video_id(name)
        if not (video in ends_s if listed is None else name in listed):
            found.unlisted += 1
            continue
        stage.advance()
        try:
            if video not in ends_s:
                raise FormatError(NO_FILE)
            found.clips[video] = _clips(found, name, record, ends_s[video], count, sources.max_words - ENDS)
        except FormatError as error:
            found.failed[_shown(name)] = error.what
    problems.raise_if_any(FormatError, next_step="keep one of the two, with all the captions of the video")
    silent = ends_s.keys() - seen.values() if listed is None else listed - seen.keys()
    found.failed |= {_shown(name): NO_CAPTIONS for name in sorted(silent)}
    return found


def _clips(
    found: Found, name: str, record: Any, duration_s: float, count: Callable[[Sequence[str]], list[int]], most: int
) -> list[NarratedClip]:
    """The clips of a video; what is wrong with its captions goes into `found`.

    Raises:
        FormatError: it has none; says why.
    """
    narrations, faults = narrations_of(record, duration_s)
    found.captions += len(narrations) + sum(not fault.cut for fault in faults)
    for fault in faults:
        (found.cut if fault.cut else found.left_out)[f"{name}[{fault.place}]"] = fault.reason
    if not narrations:
        raise FormatError("no caption can be used" if faults else NO_CAPTIONS)
    return join_narrations(narrations, count([one.text for one in narrations]), most)


def _shown(name: str) -> str:
    """The name of a video as a line of text can have it."""
    return ascii(name) if NO_TEXT.search(name) else name


def _write_problems(found: Found, out: Path) -> Path:
    path = out / "problems.tsv"
    kinds: Mapping[str, Mapping[str, str]] = {"failed": found.failed, "left out": found.left_out, "cut": found.cut}
    with atomic_write(path) as file:
        for kind, items in kinds.items():
            file.writelines(f"{item}\t{kind}\t{reason}\n" for item, reason in items.items())
    return path


def _say(found: Found, of: str, reporter: Reporter) -> None:
    """Say what is not as it should be, each kind with its number and examples.

    Args:
        of: where the videos are named.
    """
    kinds = (
        (found.failed, f"of {len(found.clips) + len(found.failed)} videos of the {of} give no clip"),
        (found.left_out, f"of {found.captions} captions are left out"),
        (found.cut, f"of {found.captions} captions are cut to the end of their video"),
    )
    for items, what in kinds:
        if items:
            reporter.say(f"{len(items)} {what}:")
            for line in in_few_lines([(f"{item}: {reason}", reason) for item, reason in items.items()]):
                reporter.say(f"  {line}")
    if found.unlisted:
        reporter.say(f"{found.unlisted} videos have captions and are not in the {of}; they were not read")


def _require_clips(found: Found, sources: NarrationSources, problems: Path, max_failed: float) -> None:
    if not found.clips:
        name, reason = next(iter(found.failed.items()), (str(sources.captions), "there are no videos"))
        raise DataError(
            "no video gives a clip",
            where=sources.captions,
            got=f"{name}: {reason}",
            wanted=f"videos of the table, such as {read_shot_table(sources.shots).video_ids[0]}",
            next_step=f"look into {typed(problems)}",
        )
    videos = len(found.clips) + len(found.failed)
    limited = [(found.failed, videos, "videos give no clip"), (found.left_out, found.captions, "captions are left out")]
    for items, total, noun in sorted(limited, key=lambda one: -len(one[0]) / max(one[1], 1)):  # the worse one is told
        require_few_failures(
            items,
            total,
            max_failed,
            what=f"{noun}; no clips were written",
            where=problems,
            next_step="remove or repair them, or allow them with --max-failed",
        )


def _write_clips(found: Found, out: Path) -> dict[str, Any]:
    """Write the shot table and the captions; return what there is to count."""
    rows = [
        (format_shot_id(video, number), clip)
        for video, clips in found.clips.items()
        for number, clip in enumerate(clips, start=1)
    ]
    clips = [clip for _, clip in rows]
    table = ShotTable([shot for shot, _ in rows], [clip.start_s for clip in clips], [clip.end_s for clip in clips])
    write_shot_table(table, out / SHOTS)
    write_captions(CaptionSet(out.name, (Caption(f"{shot}#0", shot, clip.text) for shot, clip in rows)), out / CAPTIONS)
    return {
        "videos": len(found.clips),
        "clips": len(rows),
        "captions": found.captions - len(found.left_out),
        "clip_s": round(float(np.mean(table.end_s - table.start_s)), 1),
        "clip_tokens": round(float(np.mean([clip.tokens for clip in clips])), 1),
        "overlaps": sum(clip.overlap for clip in clips),
        "failed_videos": len(found.failed),
        "left_out": len(found.left_out),
        "cut": len(found.cut),
        "unlisted": found.unlisted,
    }
