"""Whole avs processes that start at once: forks of a process that has imported everything and done nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SERVER = """
import json, os, resource, signal, sys
import torch
import avs.cli.extract_features, avs.pipeline.extract, avs.video.decode
from avs.cli.main import main
from avs.features.embedder import load_embedder
torch.set_num_threads(1)  # a fork would have none of the others
load_embedder("clip", weights=sys.argv[1])  # imports more
for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
        continue
    pid = os.fork()
    if pid:
        print(pid, flush=True)
        continue
    os.setsid()
    for stream, path in ((1, order["out"]), (2, order["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    if order["most_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["most_bytes"], resource.RLIM_INFINITY))
    exec(order["before"])
    code = main(order["words"])
    sys.stdout.flush()
    os._exit(code)
"""


@dataclass
class QuickProcess:
    """An avs process.

    Attributes:
        pid: its number.
        out, err: files of what it prints.
    """

    server: subprocess.Popen[str]
    pid: int
    out: Path
    err: Path

    def wait(self) -> int:
        """Its exit code, when it has ended; ask once."""
        return int(_ask(self.server, {"wait": self.pid}))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; to nobody, if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    @property
    def ended(self) -> bool:
        """Whether it has ended; it need not have been waited for."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
        except FileNotFoundError:
            return True


class QuickProcesses:
    """Starts avs processes.

    Args:
        folder: for what they print.
    """

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self.server, self.folder, self.count = server, folder, 0

    def start(self, words: Sequence[object], *, before: str = "", most_bytes: int = 0) -> QuickProcess:
        """Start `avs WORDS`.

        Args:
            before: Python code that it runs first.
            most_bytes: larger files cannot be written, as on a full disk; 0: no limit.
        """
        self.count += 1
        out, err = (self.folder / f"{self.count}.{name}" for name in ("out", "err"))
        order = {"words": [*map(str, words)], "before": before, "most_bytes": most_bytes}
        pid = int(_ask(self.server, {**order, "out": str(out), "err": str(err)}))
        return QuickProcess(self.server, pid, out, err)

    def run(self, words: Sequence[object], *, most_bytes: int = 0) -> tuple[int, str, str]:
        """Exit code, output and errors of `avs WORDS`."""
        process = self.start(words, most_bytes=most_bytes)
        return process.wait(), process.out.read_text(), process.err.read_text()


@contextmanager
def quick_processes(folder: Path, weights: Path) -> Iterator[QuickProcesses]:
    """A starter of processes, which ends with this.

    Args:
        folder: for what they print.
        weights: a checkpoint of CLIP.
    """
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(weights)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield QuickProcesses(server, folder)


def _ask(server: subprocess.Popen[str], order: dict[str, object]) -> str:
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, "the process that starts others has ended"
    return answer
