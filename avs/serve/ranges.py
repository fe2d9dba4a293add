"""Files over HTTP with single ranges: what a player needs to seek, and no more."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from avs.serve.refusal import Refusal

CHUNK = 256 * 1024
RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


async def file_answer(request: Request, path: Path, media_type: str) -> Response:
    """A file, or the one range of it that is asked for.

    Raises:
        Refusal: several ranges, or one that the file does not have (416).
    """
    status = await asyncio.to_thread(os.stat, path)
    tag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    headers = {"Accept-Ranges": "bytes", "ETag": tag, "Cache-Control": "private, max-age=3600"}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    first, end = 0, status.st_size
    wanted = request.headers.get("range")
    code = 200
    if wanted is not None and request.headers.get("if-range", tag) == tag:
        first, end = span(wanted, status.st_size)
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{status.st_size}"
        code = 206
    headers["Content-Length"] = str(end - first)
    if request.method == "HEAD":
        return Response(None, code, headers, media_type=media_type)
    return StreamingResponse(_read(path, first, end), code, headers, media_type=media_type)


def span(header: str, size: int) -> tuple[int, int]:
    """The first byte of a range and the one after its last.

    Raises:
        Refusal: it is not one range, or begins behind the end of the file.
    """
    match = RANGE.fullmatch(header.strip()) if len(header) < 100 else None
    first, end = 0, 0
    if match is not None and (match[1] or match[2]):
        if match[1]:
            first, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
        else:
            first, end = max(size - int(match[2]), 0), size
    if first >= end:
        raise Refusal(
            416, "not one range of this file", where="Range", got=repr(header[:80]), wanted=f"one within 0-{size - 1}",
            headers={"Content-Range": f"bytes */{size}"},
        )  # fmt: skip
    return first, end


async def _read(path: Path, first: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of a file, read in a thread."""
    file = await asyncio.to_thread(open, path, "rb")
    try:
        await asyncio.to_thread(file.seek, first)
        while first < end:
            part = await asyncio.to_thread(file.read, min(CHUNK, end - first))
            if not part:
                return
            first += len(part)
            yield part
    finally:
        file.close()
