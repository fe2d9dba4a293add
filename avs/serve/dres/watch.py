"""What there is to submit to: the evaluation, its task, and whether it runs, as the evaluation server tells."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from avs.serve.dres.client import DresClient, DresTaskInfo, DresTrouble, LoggedOut, RunState, clean
from avs.serve.shapes import DresEvaluation, DresState, DresTask

LOGIN_S = 10.0  # between two tries to log in: asking at once again could lock the account
HIDDEN = "the server shows participants no task ids, times and verdicts"


@dataclass(frozen=True, slots=True)
class DresView:
    """The evaluation server as it was last seen.

    Attributes:
        task: the last one, also while the server is away.
        shown: whether the server shows participants its state.
        at_s: when it was asked, on the clock of time.monotonic; left_at_s: when it told the time that is left.
    """

    state: DresState
    message: str = ""
    evaluation: str | None = None
    evaluations: tuple[DresEvaluation, ...] = ()
    task: DresTask | None = None
    duration_s: float | None = None
    shown: bool = True
    at_s: float = 0.0
    left_at_s: float = 0.0

    @property
    def key(self) -> str | None:
        """What tells the task from others: its id, or its name where the server gives no id."""
        return None if self.task is None else self.task.id or self.task.name

    def told(self) -> tuple[Any, ...]:
        """What pages hear of."""
        return self.state, self.message, self.evaluation, self.evaluations, self.key, self.task and self.task.name


class DresWatch:
    """Looks at an evaluation server.

    Args:
        wanted: id or name of the evaluation; None: the only one, or the one that is chosen.
    """

    def __init__(self, client: DresClient, wanted: str | None) -> None:
        self.client, self.wanted = client, wanted
        self._chosen: str | None = None
        self._next_login_s = 0.0

    def choose(self, evaluation: str) -> None:
        """Use this evaluation."""
        self._chosen = evaluation

    def look(self, before: DresView) -> DresView:
        """The server now. While it is away, or the user logged out, the task is the last one."""
        if time.monotonic() < self._next_login_s:
            return before
        try:
            seen = self._seen()
        except (LoggedOut, DresTrouble) as error:
            seen = self.away(before, error)
        except LookupError as error:
            self._chosen = None
            seen = DresView("no-evaluation", str(error), evaluations=before.evaluations)
        return replace(seen, at_s=time.monotonic())

    def glance(self, before: DresView) -> DresView:
        """The server now; asks no more than whether the task of `before` still runs, if it does."""
        if before.state != "running" or before.evaluation is None or before.task is None:
            return self.look(before)
        try:
            if before.shown:
                state = self.client.state(before.evaluation)
                same = state is not None and (state.task_id, state.task_status) == (before.task.id, "RUNNING")
                left_s = state.left_s if state is not None else None
            else:
                info, left_s = self.client.current_task(before.evaluation), None
                same = info is not None and info.name == before.task.name
        except (LoggedOut, DresTrouble) as error:
            return replace(self.away(before, error), at_s=time.monotonic())
        except LookupError:
            same = False
        if not same:
            return self.look(before)
        now_s = time.monotonic()
        task = before.task.model_copy(update={"left_s": left_s})
        return replace(before, task=task, at_s=now_s, left_at_s=now_s)

    def away(self, before: DresView, error: LoggedOut | DresTrouble) -> DresView:
        """The server after an error."""
        if isinstance(error, LoggedOut):
            self._next_login_s = time.monotonic() + LOGIN_S
            return replace(before, state="logged-out", message=f"{error}: is the password right?")
        return replace(before, state="down", message=f"{self.client.host} does not answer: {error}")

    def _seen(self) -> DresView:
        """The server now.

        Raises:
            LoggedOut, DresTrouble: it gives no answer.
            LookupError: the evaluation is over.
        """
        given = self.client.evaluations()
        known = tuple(DresEvaluation(id=one["id"], name=clean(str(one.get("name", "")))) for one in given)
        evaluation = self._chosen = self._choice(known)
        if evaluation is None:
            return DresView("no-evaluation", self._which(known), evaluations=known)
        state, task = self.client.state(evaluation), self.client.current_task(evaluation)
        view = DresView(
            "no-task", "there is no task", evaluation, known, shown=state is not None, left_at_s=time.monotonic()
        )
        return view if task is None else _with_task(view, state, task)

    def _choice(self, known: Sequence[DresEvaluation]) -> str | None:
        """The evaluation that was chosen, or else the one that is wanted, or else the only one."""
        ids = [one.id for one in known]
        if self._chosen in ids:
            return self._chosen
        if self.wanted is not None:
            return next((one.id for one in known if self.wanted in (one.id, one.name)), None)
        return ids[0] if len(ids) == 1 else None

    def _which(self, known: Sequence[DresEvaluation]) -> str:
        if not known:
            return f"no evaluation is open to {self.client.user}"
        words = "" if self.wanted is None else f'there is no evaluation "{clean(self.wanted)}"; '
        return f"{words}choose one of {len(known)}"


def _with_task(view: DresView, state: RunState | None, task: DresTaskInfo) -> DresView:
    """The view with its task. Without a state, a task that has just ended cannot be told from one that runs."""
    shape = DresTask(
        id=state.task_id if state else None, name=task.name, kind=task.kind, left_s=state.left_s if state else None
    )
    view = replace(view, task=shape, duration_s=task.duration_s)
    if state is None or state.task_status == "RUNNING":
        return replace(view, state="running", message=HIDDEN if state is None else "")
    if state.task_status == "ENDED":
        return replace(view, state="ended", message=f"task {task.name} is over")
    return replace(view, state="no-task", message=f"task {task.name} does not run yet")
