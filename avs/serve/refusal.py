"""What the server refuses, and the status of HTTP that tells why."""

from __future__ import annotations

from collections.abc import Mapping

from avs.core.errors import (
    AvsError,
    ChangedInputsError,
    MissingDependencyError,
    SpecMismatchError,
    StoreError,
    UnknownIdError,
    VideoError,
)
from avs.serve.shapes import AvsErrorShape, ErrorAnswer

LONGEST = 2000  # characters of a field of an error
STATUS_OF: tuple[tuple[type[AvsError], int], ...] = (
    (UnknownIdError, 404),
    (VideoError, 404),
    (SpecMismatchError, 409),
    (ChangedInputsError, 409),
    (StoreError, 409),
    (MissingDependencyError, 503),
    (AvsError, 422),
)


class Refusal(AvsError):
    """A request that is refused with a status of its own."""

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: object = None,
        got: object = None,
        wanted: object = None,
        next_step: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, where=where, got=got, wanted=wanted, next_step=next_step)
        self.status, self.headers = status, dict(headers or {})


def status_of(error: AvsError | OSError) -> int:
    """The status of HTTP for an error."""
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, OSError):
        return 503
    return next(status for kind, status in STATUS_OF if isinstance(error, kind))


def error_shape(error: AvsError | OSError) -> AvsErrorShape:
    """An error as the API gives it."""
    if isinstance(error, OSError):
        return AvsErrorShape(
            what="the system refused",
            where=_cut(error.filename),
            got=_cut(error.strerror or error),
            next_step="is the disk full, or a folder not writable? Then try again",
        )
    fields = {name: _cut(getattr(error, name)) for name in ("where", "got", "wanted", "next_step")}
    return AvsErrorShape(what=_cut(error.what) or "", **fields)


def error_answer(error: AvsError | OSError) -> ErrorAnswer:
    """The body of an answer that tells an error."""
    return ErrorAnswer(error=error_shape(error))


def _cut(value: object) -> str | None:
    """A field as text that is not too long, and that JSON can hold."""
    if value is None:
        return None
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
