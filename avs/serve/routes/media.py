"""Routes of what there is to see: pictures and files by the ids of the collection, and what is known of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from avs.core.errors import AvsError
from avs.serve.limits import whole_number
from avs.serve.media import Media, VideoClock
from avs.serve.opened.collection import Collection
from avs.serve.ranges import file_answer
from avs.serve.routes.asking import given, in_thread, opened, state_of
from avs.serve.shapes import ProblemOfShot, ShotFacts, VideoFacts, VideoShot

AROUND, LARGEST = 5, 10_000
FOREVER = "private, max-age=31536000, immutable"


async def keyframe(request: Request) -> Response:
    """GET /media/keyframe/<shot>.jpg"""
    media, shot = opened(request).media, request.path_params["shot"]
    width = whole_number(request, "w", 480, least=1, most=LARGEST)
    return await _picture(request, lambda: media.keyframe(shot, width))


async def sprite(request: Request) -> Response:
    """GET /media/sprite/<shot>.jpg"""
    media, shot = opened(request).media, request.path_params["shot"]
    frames = whole_number(request, "frames", 8, least=1, most=LARGEST)
    return await _picture(request, lambda: media.sprite(shot, frames))


async def _picture(request: Request, make: Callable[[], bytes]) -> Response:
    coded = await asyncio.get_running_loop().run_in_executor(state_of(request).pictures, make)
    tag = opened(request).media.etag(coded)
    headers = {"ETag": tag, "Cache-Control": FOREVER}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(coded, 200, headers, media_type="image/jpeg")


async def video_file(request: Request) -> Response:
    """GET /media/video/<id>"""
    media, video = opened(request).media, request.path_params["video"]
    return await file_answer(request, media.video_file(video), media.media_type(video))


async def shot_facts(request: Request) -> Response:
    """GET /shots/<id>"""
    server, shot = opened(request), request.path_params["shot"]
    return given(await in_thread(request, lambda: _shot_facts(server.collection, server.media, shot)))


async def video_facts(request: Request) -> Response:
    """GET /videos/<id>"""
    server, video = opened(request), request.path_params["video"]
    return given(await in_thread(request, lambda: _video_facts(server.collection, server.media, video)))


def _shot_facts(collection: Collection, media: Media, shot: str) -> ShotFacts:
    columns = collection.columns
    row = columns.row(shot)
    video = columns.video_of(row)
    rows, (start_s, end_s) = columns.rows_of(video), columns.times_s(row)
    clock, _ = _clock(media, video)
    zero_s = clock.zero_s if clock else None
    return ShotFacts(
        shot=shot,
        video=video,
        number=row - rows.start + 1,
        start_s=start_s,
        end_s=end_s,
        start_in_file_s=None if zero_s is None or start_s is None else start_s + zero_s,
        end_in_file_s=None if zero_s is None or end_s is None else end_s + zero_s,
        fps=clock.fps if clock else None,
        duration_s=clock.duration_s if clock else None,
        media=f"/media/video/{video}" if clock else None,
        before=list(columns.ids[max(rows.start, row - AROUND) : row]),
        after=list(columns.ids[row + 1 : min(rows.stop, row + 1 + AROUND)]),
        problems=[
            ProblemOfShot(store=name, status="failed" if one.status == "failed" else "partial", reason=one.reason)
            for name, one in collection.problems_of(shot)
        ],
        texts=collection.texts.of(row) if collection.texts else [],
    )


def _video_facts(collection: Collection, media: Media, video: str) -> VideoFacts:
    columns = collection.columns
    rows = columns.rows_of(video)
    clock, problem = _clock(media, video)
    shots = []
    for row in rows:
        start_s, end_s = columns.times_s(row)
        in_file_s = None if clock is None or start_s is None else start_s + clock.zero_s
        shots.append(VideoShot(shot=columns.ids[row], start_s=start_s, end_s=end_s, start_in_file_s=in_file_s))
    return VideoFacts(
        video=video,
        shots=shots,
        fps=clock.fps if clock else None,
        duration_s=clock.duration_s if clock else None,
        type=media.media_type(video) if clock else None,
        codec=clock.codec if clock else None,
        media=f"/media/video/{video}" if clock else None,
        problem=problem,
    )


def _clock(media: Media, video: str) -> tuple[VideoClock | None, str | None]:
    """What the file of a video says of its time; or why it cannot be played."""
    try:
        return media.clock(video), None
    except AvsError as error:
        return None, error.what if error.got is None else f"{error.what} ({error.got})"


MEDIA_ROUTES = {
    ("GET", "/media/keyframe/{shot}.jpg"): keyframe,
    ("GET", "/media/sprite/{shot}.jpg"): sprite,
    ("GET", "/media/video/{video}"): video_file,
    ("GET", "/shots/{shot}"): shot_facts,
    ("GET", "/videos/{video}"): video_facts,
}
