"""Reading of requests within limits: their bodies, their JSON, the numbers in their addresses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from avs.serve.refusal import Refusal

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

M = TypeVar("M", bound=BaseModel)
JSON = "application/json"
SHOWN, LONGEST_VALUE = 5, 80
SHAPES = "docs/serve_api.json has the shapes"
WORDS = {
    "missing": "a field is missing",
    "extra_forbidden": "this call has no such field",
    "value_error": "{error}",
    "too_long": "too many: at most {max_length}, got {actual_length}",
    "too_short": "too few: at least {min_length}, got {actual_length}",
    "string_too_long": "too long: at most {max_length} characters",
    "string_too_short": "too short: at least {min_length} characters",
    "string_pattern_mismatch": "must be of the form {pattern}",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be above {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be below {lt:g}",
    "finite_number": "must be a finite number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
}  # kind of an error of pydantic -> what is wrong, with what it knows of it
DIGITS = 9


async def read_body(request: Request, most_bytes: int, within_s: float) -> bytes:
    """The body of a request.

    Raises:
        Refusal: it is too large, or does not arrive in time.
    """
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > most_bytes:
        raise Refusal(413, "the body is too large", got=f"{stated[:20]} bytes", wanted=f"at most {most_bytes:,}")
    parts, size = [], 0
    try:
        async with asyncio.timeout(within_s):
            async for part in request.stream():
                size += len(part)
                if size > most_bytes:
                    raise Refusal(413, "the body is too large", got="more", wanted=f"at most {most_bytes:,} bytes")
                parts.append(part)
    except TimeoutError:
        raise Refusal(
            400, "the body did not arrive in time", got=f"{size} bytes in {within_s:g} s", next_step="send it again"
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "the connection ended within the body", got=f"{size} bytes") from None
    return b"".join(parts)


async def read_json(request: Request, shape: type[M], most_bytes: int, within_s: float) -> M:
    """The JSON of a request as a shape.

    Raises:
        Refusal: it is not said to be JSON (403), is no JSON (400), not of the shape (422), or too large (413).
    """
    require_type(request, JSON)
    body = await read_body(request, most_bytes, within_s)
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise _refused(error) from None
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "the body cannot be read", got=type(error).__name__) from None


def require_type(request: Request, *wanted: str, words: str | None = None) -> None:
    """Check the content type: a form of another site cannot send such a one.

    Args:
        words: what is wanted, where it is more than the first type.

    Raises:
        Refusal: it is another.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in wanted:
        raise Refusal(
            403, "not the content type of this call", got=repr(given[:LONGEST_VALUE]), wanted=words or wanted[0]
        )


def whole_number(request: Request, name: str, default: int, *, least: int, most: int) -> int:
    """A number in the query string.

    Raises:
        Refusal: it is no whole number, or out of range.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS and least <= int(text) <= most):
        raise Refusal(422, "not a number of this range", where=name, got=repr(text[:80]), wanted=f"{least} to {most}")
    return int(text)


def _refused(error: ValidationError) -> Refusal:
    """What is wrong with JSON, without a copy of what was sent beyond a few characters."""
    found = error.errors(include_url=False, include_input=False)
    if found and found[0]["type"] == "json_invalid":
        return Refusal(400, "the body is not JSON", got=found[0]["msg"][:200])
    if len(found) == 1:
        return Refusal(422, _words(found[0]), where=_place(found[0]["loc"]), next_step=SHAPES)
    words = [f"{_place(one['loc'])}: {_words(one)}" for one in found[:SHOWN]]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return Refusal(422, f"{len(found)} problems in what was sent", got="; ".join(words) + more, next_step=SHAPES)


def _place(path: tuple[int | str, ...]) -> str:
    """Where a value is, counted from 1: "parts 1 minus"."""
    return " ".join(str(part + 1) if isinstance(part, int) else part[:40] for part in path) or "the body"


def _words(one: ErrorDetails) -> str:
    """What is wrong with a value; what pydantic says, where there are no words for it."""
    form = WORDS.get(one["type"])
    return one["msg"][:200] if form is None else form.format(**one.get("ctx", {}))[:200]
