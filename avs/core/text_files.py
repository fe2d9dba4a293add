"""Text files that people write or edit: UTF-8, and anything else is an error with its line."""

from __future__ import annotations

from pathlib import Path

from avs.core.errors import FormatError

SAVE_AS_UTF8 = "save it as UTF-8, in an editor or with iconv -t utf-8"


def read_text(path: Path, *, next_step: str | None = None) -> str:
    """The text of a file in UTF-8.

    Args:
        next_step: what the user can do about another encoding; None: save the file as UTF-8.

    Raises:
        FormatError: it is not in UTF-8; names the line.
    """
    data = path.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        packed, line = data.startswith(b"\x1f\x8b"), data.count(b"\n", 0, error.start) + 1
        raise FormatError(
            "not a text in UTF-8",
            where=path if packed else f"{path}:{line}",
            got="a gzip file" if packed else f"byte 0x{data[error.start]:02x}",
            next_step=next_step or ("unpack it with gunzip" if packed else SAVE_AS_UTF8),
        ) from error
