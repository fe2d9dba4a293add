"""How many items of a work may fail."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from pathlib import Path

from avs.core.errors import TooManyFailuresError


def require_few_failures(
    failed: Mapping[str, str], total: int, max_failed: float, *, what: str, where: Path, next_step: str
) -> None:
    """Check that no more than a share of the items failed.

    Args:
        failed: item -> why.
        total: number of items.
        max_failed: share of them that may fail.
        what: ends the sentence "3 of 9 ...".
        where: file with the reasons.
        next_step: followed by the share that would be enough.

    Raises:
        TooManyFailuresError: more failed; names the first.
    """
    if len(failed) > max_failed * total:
        item, reason = next(iter(failed.items()))
        raise TooManyFailuresError(
            f"{len(failed)} of {total} {what}",
            where=where,
            got=f"{item}: {reason}" + (" ..." if len(failed) > 1 else ""),
            wanted=f"at most {max_failed:.1%}",
            next_step=f"{next_step} {ceil(100 * len(failed) / total) / 100}",
        )
