"""Text files that must be UTF-8."""

from __future__ import annotations

from pathlib import Path

from avs.core.errors import FormatError


def read_utf8(path: Path, *, next_step: str | None = None) -> str:
    """The text of a file.

    Raises:
        FormatError: it is not UTF-8; names the byte.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            "not UTF-8 text",
            where=path,
            got=f"byte 0x{error.object[error.start]:02x} at position {error.start}: {error.reason}",
            wanted="text in UTF-8",
            next_step=next_step,
        ) from error
