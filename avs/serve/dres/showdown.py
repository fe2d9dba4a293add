"""The showdown: one thread watches the evaluation server, sends what pages submit, and tells what becomes of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

from avs.pipeline.serve_options import ServeOptions
from avs.serve.dres.client import TIMEOUT_S, DresClient, DresTrouble, LoggedOut, clean
from avs.serve.dres.dispatch import Dispatch
from avs.serve.dres.submissions import AGAIN, NOT_SENT, QueueEntry, SubmissionQueue
from avs.serve.dres.timer import PageTimer
from avs.serve.dres.watch import DresView, DresWatch
from avs.serve.events import Events
from avs.serve.journal.session_journal import now_ms
from avs.serve.refusal import Refusal
from avs.serve.shapes import Event, Submissions

POLL_S, FRESH_S, MOST_LOGS, JUMP_S = 2.0, 0.2, 200, 1.5
LIVE_QUEUE, DRY_QUEUE, DRY_RUN = "submissions.queue", "dry-run.queue", "dry run"
NEXT_STEPS = {
    "no-evaluation": "choose an evaluation, or wait until one is open",
    "ended": "wait for the next task",
    "logged-out": "start avs serve with the right user and password",
    "down": f"it is asked again every {POLL_S:g} s",
}
log = logging.getLogger(__name__)


class Showdown:
    """The evaluation server, the queue, and the timer.

    Args:
        password: of the user; None: there is no evaluation server.
        events: where news go.

    Raises:
        ConfigError: another server has the queue.
    """

    def __init__(self, options: ServeOptions, password: str | None, events: Events) -> None:
        self.options, self.events, self.live = options, events, options.live
        self.timer = PageTimer(options.timer_s)
        self.view = DresView("off")
        self.server: str | None = None
        self.queue: SubmissionQueue | None = None
        self._watch: DresWatch | None = None
        self._dispatch: Dispatch | None = None
        self._journal: Callable[[str, dict[str, Any]], None] | None = None
        self._unwritten: list[tuple[str, dict[str, Any]]] = []
        self._wake = threading.Condition()
        self._stopped = False
        self._next_look_s = 0.0
        self._logs: deque[tuple[Literal["query", "result"], str, dict[str, Any]]] = deque()
        self._lost_logs = 0
        self._thread: threading.Thread | None = None
        if options.dres is not None and password is not None:
            client = DresClient(options.dres, options.dres_user or "", password, timeout_s=TIMEOUT_S)
            self.server, self.view = urlsplit(options.dres).netloc, DresView("down", "not asked yet")
            self.queue = SubmissionQueue(options.sessions / (LIVE_QUEUE if options.live else DRY_QUEUE))
            self._watch = DresWatch(client, options.dres_evaluation)
            self._dispatch = Dispatch(client, self.queue, rate=options.rate, changed=self._tell)

    def start(self) -> None:
        """Begin to watch the server."""
        if self._watch is not None:
            self._thread = threading.Thread(target=self._work, name="dres", daemon=True)
            self._thread.start()

    def attach(self, journal: Callable[[str, dict[str, Any]], None]) -> None:
        """Take the journal of the session, which is opened later."""
        self._journal = journal
        waiting, self._unwritten = self._unwritten, []
        for kind, event in waiting:
            self._note(kind, event)

    def close(self) -> None:
        """End the thread; what is being sent may end first."""
        with self._wake:
            self._stopped = True
            self._wake.notify()
        if self._thread is not None and self._watch is not None:
            self._thread.join(2 * self._watch.client.timeout_s)
            if self._thread.is_alive():  # a server that drips: what is in flight is asked about next time
                return
        if self.queue is not None:
            self.queue.close()

    # What pages ask.

    def submissions(self) -> Submissions:
        """GET /submit"""
        view = self.view
        entries = self.queue.entries(self._is_here) if self.queue is not None else []
        return Submissions(
            live=self.live, server=self.server, evaluation=view.evaluation, state=view.state,
            message=self._message(), task=view.task, timer_left_s=self.left_s(), timer_of=self.timer_of(),
            evaluations=list(view.evaluations), entries=[one.shape(dry_run=not self.live) for one in entries],
        )  # fmt: skip

    def timer_of(self) -> Literal["task", "page"] | None:
        """Whose timer runs: that of the task, or else the page's own."""
        view = self.view
        if view.state in ("running", "down", "logged-out") and view.task is not None and view.task.left_s is not None:
            return "task"
        return "page" if self.timer.left_s() is not None else None

    def left_s(self) -> float | None:
        """Seconds that are left of it."""
        view = self.view
        if self.timer_of() == "task" and view.task is not None and view.task.left_s is not None:
            return max(0.0, view.task.left_s - (time.monotonic() - view.left_at_s))
        return self.timer.left_s()

    def target(self) -> tuple[str, str, str, str | None]:
        """Server, evaluation, task and task id of what is submitted now.

        Raises:
            Refusal: there is no task.
        """
        view = self.view
        if self.server is None:
            raise Refusal(
                409, "there is no evaluation server", next_step="name one when the server starts: --dres URL"
            )  # fmt: skip
        waits = view.state == "running" or view.state in ("down", "logged-out")
        if waits and view.evaluation is not None and view.key is not None and view.task is not None:
            return self.server, view.evaluation, view.key, view.task.id
        if not self.live:
            return self.server, view.evaluation or DRY_RUN, view.key or DRY_RUN, None
        raise Refusal(
            409, "there is no task to submit to", where=self.server, got=f"{view.state}: {view.message}",
            wanted="a task that runs", next_step=NEXT_STEPS.get(view.state, "submit when a task runs"),
        )  # fmt: skip

    def submit(self, wanted: Sequence[QueueEntry], found_in: str | None = None) -> tuple[list[QueueEntry], list[str]]:
        """Put submissions into the queue.

        Args:
            found_in: list that they were found in, for the journal.

        Returns:
            them, or those that were there before; warnings.

        Raises:
            OSError: the queue cannot be written; then none is.
        """
        assert self.queue is not None
        with self._wake:  # so that pages hear of it before they hear that it is being sent
            known = self.queue.entries()
            found, warnings = [], []
            for entry, new in self.queue.put(wanted):
                if new:
                    self._note("submission", {**_journalled(entry), "list": found_in, "dry_run": not self.live})
                    self._tell(entry)
                elif entry.state in ("failed", "forgotten"):
                    found.append(self._again(entry))
                    continue
                else:
                    said = f" ({entry.message})" if entry.message else ""
                    warnings.append(f"{_name(entry)} was submitted before: {entry.state}{said}")
                found.append(entry)
            self._wake.notify()
        warnings += repeated(found, known)
        if self.live and self.view.state != "running":
            warnings.append(f"not sent yet: {self.view.message or self.view.state}")
        return found, warnings

    def ask(self, entry_id: str, *, again: bool) -> QueueEntry:
        """Send one again that may not have arrived, or forget it.

        Raises:
            Refusal: there is none, or it is not in doubt.
        """
        entry = None if self.queue is None else self.queue.get(entry_id)
        if entry is None or self._dispatch is None:
            raise Refusal(404, "no such submission", got=repr(entry_id[:80]))
        if entry.state not in AGAIN:
            raise Refusal(409, "it is not in doubt", where=entry.id, got=entry.state, wanted=", ".join(AGAIN))
        if not again:
            return self._dispatch.change(entry, "forgotten", "forgotten by the user")
        changed = self._again(entry)
        self._notify()
        return changed

    def choose(self, evaluation: str) -> None:
        """Use an evaluation.

        Raises:
            Refusal: there is no such one.
        """
        known = [one.id for one in self.view.evaluations]
        if evaluation not in known or self._watch is None:
            raise Refusal(
                404, "no such evaluation", got=repr(evaluation[:80]), wanted=", ".join(known) or "none is open"
            )  # fmt: skip
        self._watch.choose(evaluation)
        self._next_look_s = 0.0
        self._notify()

    def set_timer(self, *, run: bool, seconds: float | None) -> None:
        """Start or stop the page's own timer."""
        if run:
            self.timer.start(seconds)
        else:
            self.timer.stop()
        self._tell_timer()

    def sent_shots(self, topic: str) -> list[str]:
        """The shots that were submitted to the task that runs, or while this topic was open."""
        if self.queue is None:
            return []
        here = (self.view.evaluation, self.view.key)
        if not self.live:
            here = (here[0] or DRY_RUN, here[1] or DRY_RUN)
        found = self.queue.entries(
            lambda one: one.state not in NOT_SENT and (one.topic == topic or (one.evaluation, one.task) == here)
        )
        return list(dict.fromkeys(one.shot for one in found if one.shot is not None))

    def wants_logs(self) -> bool:
        """Whether the server is told of questions: when a task runs, and this is no dry run."""
        return self.live and self.view.state == "running" and self.view.evaluation is not None

    def log(self, kind: Literal["query", "result"], body: dict[str, Any]) -> None:
        """Tell the server of a question. When too many wait, the oldest is dropped and counted."""
        if not self.wants_logs() or self.view.evaluation is None:
            return
        with self._wake:
            self._logs.append((kind, self.view.evaluation, body))
            while len(self._logs) > MOST_LOGS:
                self._logs.popleft()
                self._lost_logs += 1
            self._wake.notify()

    # The thread.

    def _work(self) -> None:
        while not self._stopped:
            try:
                self._turn()
            except Exception as error:  # the thread must live: without it nothing is sent any more
                log.exception("the watch of the evaluation server")
                self._next_look_s = time.monotonic() + POLL_S
                self._show(replace(self.view, state="down", message=f"an error of avs: {type(error).__name__}"))
            with self._wake:
                if not self._stopped:
                    self._wake.wait(self._wait_s())

    def _wait_s(self) -> float:
        """How long there is nothing to do."""
        next_s = self._next_look_s
        if self.view.state == "running" and self._dispatch is not None and (self._next_entry() or self._logs):
            next_s = min(next_s, self._dispatch.next_s)
        return max(0.0, next_s - time.monotonic())

    def _turn(self) -> None:
        assert self._watch is not None and self._dispatch is not None
        if time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + POLL_S
            self._show(self._watch.look(self.view))
            if self.live:
                self._dispatch.take_verdicts(self.view)
        while not self._stopped and time.monotonic() >= self._dispatch.next_s:
            entry = self._next_entry()
            if entry is None:
                self._send_log()
                return
            if time.monotonic() - self.view.at_s > FRESH_S:
                self._show(self._watch.glance(self.view))
            if not self._send(entry):
                return

    def _next_entry(self) -> QueueEntry | None:
        if not self.live or self._dispatch is None:
            return None
        with self._wake:
            return self._dispatch.next_entry(self.view)

    def _send(self, entry: QueueEntry) -> bool:
        """Send a submission; whether the next one may follow."""
        assert self._watch is not None and self._dispatch is not None
        try:
            return self._dispatch.send(entry, self.view)
        except (LoggedOut, DresTrouble) as error:
            self._show(self._watch.away(self.view, error))
        except OSError as error:
            self._show(
                replace(self.view, state="down", message=f"nothing is sent: {error.strerror} ({error.filename})")
            )
        return False

    def _send_log(self) -> None:
        """Send one log. One that does not arrive is counted: it is not worth a delay of submissions."""
        with self._wake:
            if not self._logs or self.view.state != "running":
                return
            kind, evaluation, body = self._logs.popleft()
        assert self._watch is not None
        try:
            arrived = self._watch.client.log(kind, evaluation, body).status == 200
        except (DresTrouble, LoggedOut):
            arrived = False
        self._lost_logs += not arrived

    def _show(self, seen: DresView) -> None:
        """Take a view, and tell pages what is new. A task that the server does not time starts the page's timer."""
        before, self.view = self.view, seen
        begins = seen.state == "running" and (before.evaluation, before.key) != (seen.evaluation, seen.key)
        if begins and seen.task is not None and seen.task.left_s is None:
            self.timer.start(seen.duration_s)
        if before.told() != seen.told():
            self._note("task", {"state": seen.state, "evaluation": seen.evaluation, "task": seen.key})
            data = {
                "state": seen.state, "message": seen.message, "evaluation": seen.evaluation, "id": seen.key,
                "name": seen.task.name if seen.task else None, "left_s": self.left_s(),
            }  # fmt: skip
            self.events.say(Event(kind="task", data=data))
        elif _jumped(before, seen):
            self._tell_timer()

    # What is told.

    def _again(self, entry: QueueEntry) -> QueueEntry:
        assert self._dispatch is not None
        return self._dispatch.again(entry)

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _is_here(self, entry: QueueEntry) -> bool:
        """Whether pages are shown it: what belongs to the evaluation; before that is known, all of the server."""
        evaluation = self.view.evaluation
        here = evaluation is None or entry.evaluation in (evaluation, DRY_RUN)
        return here and entry.server == self.server and entry.state != "forgotten"

    def _tell(self, entry: QueueEntry) -> None:
        told = entry.shape(dry_run=not self.live)
        data = {"id": told.id, "state": told.state, "message": told.message, "shot": told.shot, "task": told.task}
        self.events.say(Event(kind="submission", topic=entry.topic, data=dict(data)))
        if entry.state not in ("queued", "in-flight"):
            self._note("verdict", {"id": entry.id, "state": entry.state, "message": entry.message})

    def _tell_timer(self) -> None:
        self.events.say(Event(kind="timer", data={"left_s": self.left_s(), "of": self.timer_of()}))

    def _message(self) -> str:
        """What is wrong, in words."""
        queue, words = self.queue, [self.view.message]
        if queue is not None and queue.damaged:
            words.append(f"{queue.path.name} has {queue.damaged} damaged lines: look at what is unknown")
        if queue is not None and queue.problem:
            words.append(f"{queue.path.name} cannot be written: {queue.problem}")
        if self._lost_logs:
            words.append(f"{self._lost_logs} logs of questions did not reach the server")
        return "; ".join(word for word in words if word)

    def _note(self, kind: str, event: dict[str, Any]) -> None:
        """Write into the journal of the session. What must not be lost is in the queue."""
        if self._journal is None:
            self._unwritten.append((kind, event))
            return
        try:
            self._journal(kind, {**event, "at_ms": now_ms()})
        except (Refusal, OSError) as error:
            log.warning("the journal of the session: %s", error)


def _jumped(before: DresView, seen: DresView) -> bool:
    """Whether the time that is left is not what it was, less the time that went by: the task was made longer, say."""
    old = before.task.left_s if before.task else None
    new = seen.task.left_s if seen.task else None
    if old is None or new is None:
        return old is not new
    return abs((old - new) - (seen.left_at_s - before.left_at_s)) > JUMP_S


def repeated(found: Sequence[QueueEntry], known: Sequence[QueueEntry]) -> list[str]:
    """A warning for each video of which a second shot was submitted, the first time that this happens.

    Args:
        found: what is submitted now; known: what was before.
    """
    ids = {one.id for one in known}
    warned = {(one.evaluation, one.task, one.video) for one in known if one.sent_before}
    fresh = [one for one in found if one.id not in ids and one.sent_before]
    videos = dict.fromkeys(str(one.video) for one in fresh if (one.evaluation, one.task, one.video) not in warned)
    return [f"another shot of video {video} was submitted to this task before" for video in videos]


def _name(entry: QueueEntry) -> str:
    return entry.shot if entry.shot is not None else f'"{clean(entry.text or "")[:40]}"'


def _journalled(entry: QueueEntry) -> dict[str, Any]:
    names = ("id", "topic", "evaluation", "task", "shot", "item", "start_ms", "end_ms", "text", "sent_before")
    return {name: getattr(entry, name) for name in names}
