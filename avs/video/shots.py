"""The shot table of video files that have none; many files are read at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from avs.core.errors import VideoError
from avs.core.ids import format_shot_id
from avs.core.progress import Stage
from avs.core.shots import ShotTable

Span = tuple[float, float]
FindShots = Callable[[Path], list[Span]]


def shots_of_videos(
    videos: Mapping[str, Path], find: FindShots, *, workers: int, stage: Stage
) -> tuple[ShotTable, dict[str, str]]:
    """The shots that `find` returns for each video, and the videos that could not be read, with the reason.

    Args:
        videos: video id -> file.
        find: `detect_shots` or `whole_file`, or any picklable function.
        workers: number of processes over which the videos are spread; below 2, this process reads them.
        stage: advanced after every video.

    Raises:
        VideoError: no video could be read, or a process died.
    """
    spans_s: dict[str, list[Span]] = {}
    failed: dict[str, str] = {}
    for video, answer in _answers(videos, find, min(workers, len(videos))):
        if isinstance(answer, VideoError):
            failed[video] = answer.what if answer.got is None else f"{answer.what} ({answer.got})"
        else:
            spans_s[video] = answer
        stage.advance(failed=int(isinstance(answer, VideoError)))
    if not spans_s:
        first = next(iter(failed))
        raise VideoError(f"none of {len(failed)} videos could be read", where=videos[first], got=failed[first])
    rows = [
        (format_shot_id(video, number), *span_s)
        for video, spans_of_video in spans_s.items()
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
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(_try, find, path): video for video, path in videos.items()}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
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
