"""Signs of life of work that may take long, for a process that watches this one from outside.

What works calls `sign_of_life` now and then; a worker process that is watched says with `tell_signs` who hears of it.
In any other process nobody listens, and the call does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

BETWEEN_SIGNS_S = 0.2  # a decoder reads thousands of packets a second

_listener: Callable[[], object] | None = None
_told_s = 0.0


def tell_signs(listener: Callable[[], object] | None) -> None:
    """Call `listener` at signs of life from now on, at most once in BETWEEN_SIGNS_S; None: nobody."""
    global _listener, _told_s
    _listener, _told_s = listener, 0.0


def sign_of_life() -> None:
    """Say that the work goes on."""
    global _told_s
    if _listener is None:
        return
    now_s = time.monotonic()
    if now_s - _told_s >= BETWEEN_SIGNS_S:
        _told_s = now_s
        _listener()
