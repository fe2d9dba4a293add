"""The shot table of video files that have none, many files at once."""

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
    """The shots that `find` sees in each video, and the videos that could not be read, with the reason.

    Args:
        videos: video id -> file.
        find: `detect_shots` or `whole_file`, or any function that processes can share.
        workers: processes; videos are spread over them.
        stage: told of every finished video.

    Raises:
        VideoError: no video could be read, or a process died.
    """
    spans_s: dict[str, list[Span]] = {}
    failed: dict[str, str] = {}
    for video, found in _found(videos, find, min(workers, len(videos))):
        if isinstance(found, VideoError):
            failed[video] = found.what if found.got is None else f"{found.what} ({found.got})"
        else:
            spans_s[video] = found
        stage.advance(failed=int(isinstance(found, VideoError)))
    if not spans_s:
        first = next(iter(failed))
        raise VideoError(f"none of {len(failed)} videos could be read", where=videos[first], got=failed[first])
    rows = [
        (format_shot_id(video, number), *span_s)
        for video, found_s in spans_s.items()
        for number, span_s in enumerate(found_s, start=1)
    ]
    ids, starts_s, ends_s = zip(*rows, strict=True)
    return ShotTable(ids, starts_s, ends_s), {video: failed[video] for video in videos if video in failed}


def _found(videos: Mapping[str, Path], find: FindShots, workers: int) -> Iterator[tuple[str, list[Span] | VideoError]]:
    if workers == 1:
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
                "a process died while it read a video", next_step="use --workers 1 to see at which file"
            ) from error


def _try(find: FindShots, path: Path) -> list[Span] | VideoError:
    try:
        return find(path)
    except VideoError as error:
        return error
