"""Two servers that begin together on one cache: the second waits for the first."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from avs.serve.opened.cache_lock import alone_in

HOLD = """
import sys
from pathlib import Path
from avs.serve.opened.cache_lock import alone_in
with alone_in(Path(sys.argv[1]), print):
    print("holds it", flush=True)
    sys.stdin.read()
"""


class Told(Exception):
    """It was told to end."""


def refuse(what: str, done: int, of: int) -> None:
    raise Told(what)


def test_the_second_waits_and_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None and first.stdout.readline() == b"holds it\n"
        with pytest.raises(Told, match="waiting for another avs serve"), alone_in(cache, refuse):
            pytest.fail("both have it")
        waiting, inside = threading.Event(), threading.Event()

        def second() -> None:
            with alone_in(cache, lambda what, done, of: waiting.set()):
                inside.set()

        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(20) and not inside.is_set()
        first.kill()
        assert inside.wait(20)
        thread.join(20)
    with alone_in(cache, refuse), pytest.raises(Told), alone_in(cache, refuse):
        pytest.fail("it is given twice")


def test_a_cache_that_cannot_be_written_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with alone_in(tmp_path / "file", refuse):
        pass
