"""Workers end with the process that started them, in the middle of a job of ten minutes."""

from __future__ import annotations

import os
import signal
import time
from threading import Event, Thread

import pytest
from processes import end_by, session, started, wait_until

from avs.core.processes import deaf_to_interrupts, in_processes

TEN_MINUTES = """
import time
from avs.cli.main import ending_in_order_when_terminated
from avs.core.processes import in_processes
with ending_in_order_when_terminated():
    for number, _ in in_processes(time.sleep, {n: (600 * (n > 0),) for n in range(9)}, workers=2):
        print(number, flush=True)
"""


def test_every_job_is_answered() -> None:
    assert dict(in_processes(pow, {"a": (2, 3), "b": (3, 2)}, workers=2)) == {"a": 8, "b": 9}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_under_way_are_broken_off(how: signal.Signals) -> None:
    with started(["-c", TEN_MINUTES]) as process:
        assert process.stdout is not None and process.stdout.readline() == "0\n"  # two workers sleep from now on
        wait_until(lambda: len(session(process.pid)) >= 3, process)
        code, err = end_by(process, how)
    assert code == {signal.SIGINT: -signal.SIGINT, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}[how]
    assert err.count("Traceback") == (how == signal.SIGINT)  # that of the process itself, none of a worker


def test_workers_do_not_hear_the_ctrl_c_of_the_terminal() -> None:
    blocked = dict(in_processes(signal.pthread_sigmask, {0: (signal.SIG_BLOCK, ())}, workers=1))
    assert signal.SIGINT in blocked[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_processes_start_is_heard_when_they_are_started(number: signal.Signals) -> None:
    """Other threads take a signal that the main thread blocks, and Python runs its handler all the same."""
    heard: list[str] = []
    before = signal.signal(number, lambda *_: heard.append("signal"))
    go = Event()
    sender = Thread(target=lambda: go.wait() and os.kill(os.getpid(), number))
    sender.start()
    try:
        with deaf_to_interrupts():
            go.set()
            sender.join()
            time.sleep(0.01)  # bytecodes, between which a handler would run
            heard.append("started")
        assert heard == ["started", "signal"]
    finally:
        signal.signal(number, before)
