from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from avs.core.errors import StoreError
from avs.core.lock import sole_writer

HOLD = """
import sys
from pathlib import Path
from avs.core.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that writes to the folder "store" until a line is written to it."""
    words = [sys.executable, "-c", HOLD, str(tmp_path / "store")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_refused_and_told_who_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StoreError) as caught, sole_writer(tmp_path / "store"):
        pass
    assert str(caught.value) == (
        f"another process is writing here\n  where:  {tmp_path / 'store'}\n"
        f"  got:    process {holder.pid} on {socket.gethostname()}\n"
        "  next:   wait until it has ended and run the same command again, or choose another -o"
    )
    with sole_writer(tmp_path / "another"):
        pass


def test_the_folder_is_free_when_the_writer_is_done(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.communicate("done\n")
    with sole_writer(tmp_path / "store"):
        pass


def test_the_lock_of_a_killed_writer_is_taken_over(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with sole_writer(tmp_path / "store"):
        assert f"process {holder.pid}" not in (tmp_path / "store/.lock").read_text()
