"""The shot table of video files that have none; many files are read at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from avs.core.errors import VideoError
from avs.core.ids import format_shot_id
from avs.core.processes import in_processes
from avs.core.progress import Stage
from avs.core.shots import ShotTable

Span = tuple[float, float]
FindShots = Callable[[Path], list[Span]]


def shots_of_videos(
    videos: Mapping[str, Path],
    find: FindShots,
    *,
    workers: int,
    stage: Stage,
    found: MutableMapping[str, list[Span]],
) -> tuple[ShotTable, dict[str, str]]:
    """The shots that `find` returns for each video, and the videos that could not be read, with the reason.

    Args:
        videos: video id -> file.
        find: `detect_shots` or `whole_file`, or any picklable function.
        workers: number of processes over which the videos are spread; below 2, this process reads them.
        stage: advanced after every video.
        found: video id -> spans that an earlier run found; those of every other video are added as soon as it is read.

    Raises:
        VideoError: no video could be read, or a process died.
    """
    failed: dict[str, str] = {}
    stage.advance(len(found))
    missing = {video: path for video, path in videos.items() if video not in found}
    for video, answer in _answers(missing, find, min(workers, len(missing))):
        if isinstance(answer, VideoError):
            failed[video] = answer.what if answer.got is None else f"{answer.what} ({answer.got})"
        else:
            found[video] = answer
        stage.advance(failed=int(isinstance(answer, VideoError)))
    if not found:
        first = next(iter(failed))
        raise VideoError(f"none of {len(failed)} videos could be read", where=videos[first], got=failed[first])
    rows = [
        (format_shot_id(video, number), *span_s)
        for video, spans_of_video in found.items()
        for number, span_s in enumerate(spans_of_video, start=1)
    ]
    ids, starts_s, ends_s = zip(*rows, strict=True)
    return ShotTable(ids, starts_s, ends_s), {video: failed[video] for video in videos if video in failed}


def _answers(
    videos: Mapping[str, Path], find: FindShots, workers: int
) -> Iterator[tuple[str, list[Span] | VideoError]]:
    """The spans or the error of every video, in the order in which processes finish."""
    if workers < 2:
        for video, path in videos.items():
            yield video, _try(find, path)
        return
    try:
        yield from in_processes(_try, {video: (find, path) for video, path in videos.items()}, workers=workers)
    except BrokenProcessPool as error:
        raise VideoError(
            "a process died while it read a video", next_step="use --workers 0 to see at which file"
        ) from error


def _try(find: FindShots, path: Path) -> list[Span] | VideoError:
    try:
        spans_s = find(path)
    except VideoError as error:
        return error
    for start_s, end_s in spans_s:
        if not 0 <= start_s < end_s:
            return VideoError("the video's times make no shots", got=f"one from {start_s} s to {end_s} s")
    return spans_s
