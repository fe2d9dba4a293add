"""The way of a submission to the evaluation server: sent once, in order, and only to the task that it was meant for.

A synchronous DRES gives a submission to whatever task runs when it arrives, also if it names another. And it has no ids
of ours, so what may have arrived cannot safely be sent again: its own list is asked, and then the user.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from avs.serve.dres.client import DresAnswer, DresClient, DresTrouble, LoggedOut
from avs.serve.dres.submissions import QueueEntry, QueueState, SubmissionQueue
from avs.serve.dres.watch import DresView
from avs.serve.shapes import SubmissionState

TRIES, FIRST_WAIT_S, MOST_DOUBLINGS = 4, 0.5, 4
VERDICTS: dict[str, SubmissionState] = {
    "CORRECT": "accepted", "WRONG": "wrong", "UNDECIDABLE": "undecided", "INDETERMINATE": "sent",
}  # fmt: skip


class Dispatch:
    """Sends what is queued, and takes the verdicts.

    Args:
        rate: submissions a second, at most.
        changed: is told of each submission that has a new state.

    Attributes:
        next_s: nothing is sent before, on the clock of time.monotonic.
    """

    def __init__(
        self, client: DresClient, queue: SubmissionQueue, *, rate: float, changed: Callable[[QueueEntry], None]
    ) -> None:
        self.client, self.queue, self.rate, self.changed = client, queue, rate, changed
        self.next_s = 0.0
        self._tries: dict[str, int] = {}

    def next_entry(self, view: DresView) -> QueueEntry | None:
        """What is to be sent next, to the evaluation that is used."""
        waiting = self.queue.entries(lambda one: one.state == "queued" and self._is_for(one, view))
        return waiting[0] if waiting else None

    def send(self, entry: QueueEntry, view: DresView) -> bool:
        """Send a submission if its task runs; whether the next one may follow at once.

        Raises:
            OSError: the queue cannot be written; it was not sent.
            LoggedOut, DresTrouble: the server is away.
        """
        if view.state not in ("running", "ended"):
            return False
        if view.state == "ended" or view.key != entry.task:
            self.change(entry, "failed", "not sent: its task is over")
            return True
        self.change(entry, "in-flight", "")
        self.next_s = time.monotonic() + 1.0 / self.rate
        try:
            answer = self.client.submit(entry.evaluation, entry.body())
        except DresTrouble as error:
            if error.may_have_arrived:
                self.change(entry, "unknown", f"no answer: {error}")
            else:
                self.change(entry, "queued", f"will be sent again: {error}")
            raise
        except LoggedOut as error:
            self.change(entry, "queued", f"will be sent again: {error}")
            raise
        return self._answered(entry, answer, view)

    def again(self, entry: QueueEntry) -> QueueEntry:
        """Queue a submission once more."""
        self._tries.pop(entry.id, None)
        return self.change(entry, "queued", "")

    def take_verdicts(self, view: DresView, also: QueueEntry | None = None) -> None:
        """Ask what the server has of the task, when a verdict is open, or whether something arrived."""
        if view.state not in ("running", "ended") or not view.shown or view.evaluation is None:
            return
        open_ = self.queue.entries(
            lambda one: self._is_for(one, view) and one.task == view.key
            and (one.state in ("sent", "unknown") or (also is not None and one.id == also.id))
        )  # fmt: skip
        if not open_:
            return
        try:
            given = self.client.submissions(view.evaluation)
        except (DresTrouble, LoggedOut):
            return  # the next look tells
        held = answers_of(given or [], self.client.user)
        for entry in open_:
            verdict = held.get((entry.task_id, entry.item, entry.start_ms, entry.end_ms, entry.text))
            state = VERDICTS.get(verdict or "")
            if state is not None and state != entry.state:
                self.change(entry, state, f"the server has it: {str(verdict).lower()}")

    def change(self, entry: QueueEntry, state: QueueState, message: str) -> QueueEntry:
        """Give a submission a new state, and tell of it.

        Raises:
            OSError: as SubmissionQueue.change.
        """
        changed = self.queue.change(entry.id, state, message)
        self.changed(changed)
        return changed

    def _is_for(self, entry: QueueEntry, view: DresView) -> bool:
        return (entry.server, entry.evaluation) == (self.client.host, view.evaluation)

    def _answered(self, entry: QueueEntry, answer: DresAnswer, view: DresView) -> bool:
        verdict = answer.body.get("submission") if isinstance(answer.body, dict) else None
        if answer.status == 429 or (answer.status >= 500 and answer.status != 504):
            return self._try_again(entry, answer, view)
        if answer.status in (200, 202):
            self.change(entry, VERDICTS.get(str(verdict), "sent"), answer.words())
        elif 400 <= answer.status < 500:
            self.change(entry, "rejected", answer.words())
        else:  # 504: a proxy waited in vain for the server
            self.change(entry, "unknown", f"the server answers {answer.words()}")
        self._tries.pop(entry.id, None)
        return True

    def _try_again(self, entry: QueueEntry, answer: DresAnswer, view: DresView) -> bool:
        """After an error of the server: wait, and send it again, unless the server has it.

        DRES answers 500 also to a name of a video that it does not know, so after some tries the next one follows.
        """
        tries = self._tries[entry.id] = self._tries.get(entry.id, 0) + 1
        entry = self.change(entry, "queued", f"will be sent again: {answer.words()}")
        self.take_verdicts(view, also=entry)
        now = self.queue.get(entry.id)
        if now is None or now.state != "queued":
            return True
        if tries >= TRIES and answer.status != 429:
            self._tries.pop(entry.id, None)
            self.change(entry, "failed", f"{tries} times: {answer.words()}")
            return True
        wait_s = FIRST_WAIT_S * 2 ** min(tries - 1, MOST_DOUBLINGS)
        self.next_s = time.monotonic() + max(1.0 / self.rate, wait_s)
        return False


def answers_of(given: Iterable[dict[str, Any]], user: str) -> dict[tuple[Any, ...], str]:
    """(task id, item, start, end, text) -> verdict, of the submissions of a user; others are left out."""
    found: dict[tuple[Any, ...], str] = {}
    for submission in given:
        sets = submission.get("answers")
        if submission.get("memberName") != user or not isinstance(sets, list):
            continue
        for one in sets:
            answers = one.get("answers") if isinstance(one, dict) else None
            if isinstance(answers, list) and len(answers) == 1 and isinstance(answers[0], dict):
                answer = answers[0]
                item = answer.get("item")
                name = item.get("name") if isinstance(item, dict) else None
                values = (one.get("taskId"), name, answer.get("start"), answer.get("end"), answer.get("text"))
                if all(isinstance(value, str | int | None) for value in values):
                    found[values] = str(one.get("status"))
    return found
