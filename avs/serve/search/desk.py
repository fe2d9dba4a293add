"""Whose turn it is: one question at a time for each session, and one search at a time for the machine.

A newer question of a session cancels the older one, which ends between two blocks of rows. Its results are never sent.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from avs.core.errors import AvsError
from avs.ranking.score import SearchCancelled
from avs.ranking.split import one_thread
from avs.serve.refusal import Refusal
from avs.serve.search.engine import Engine, ServedAnswer
from avs.serve.search.plan import SearchPlan

MOST_SESSIONS = 1000


@dataclass(slots=True, eq=False)
class Turn:
    """A question of a session.

    Attributes:
        seq: counts the questions of the session.
        dropped: nobody waits for its answer any more.
        ends_s: on the clock of time.monotonic; None: its search has not begun.
    """

    seq: int
    dropped: threading.Event = field(default_factory=threading.Event)
    ends_s: float | None = None

    def cancelled(self) -> bool:
        """Whether a search for it should end."""
        return self.dropped.is_set() or (self.ends_s is not None and time.monotonic() > self.ends_s)


class Desk:
    """Takes questions.

    Args:
        engine: answers them, in one thread.
        waiting: questions that may wait; more are refused.
        search_s: that a search may take.
    """

    def __init__(self, engine: Engine, *, waiting: int, search_s: float) -> None:
        self.engine, self.most_waiting, self.search_s = engine, waiting, search_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search", initializer=one_thread)
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._waiting = 0

    def turn(self, session: str) -> Turn:
        """The next turn of a session; the one before is dropped."""
        before = self._turns.pop(session, None)
        if before is not None:
            before.dropped.set()
        turn = Turn(1 if before is None else before.seq + 1)
        self._turns[session] = turn
        while len(self._turns) > MOST_SESSIONS:
            self._turns.popitem(last=False)
        return turn

    async def answers(self, plan: SearchPlan, turn: Turn) -> AsyncIterator[ServedAnswer]:
        """The lists of a question: the first, and the final one where models follow.

        Raises:
            SearchCancelled: a newer question of the session has come.
            Refusal: too many questions wait; the search takes too long.
            AvsError: what the engine refuses.
        """
        kept = self.engine.kept(plan)
        if kept is not None:
            yield kept
            return
        first = await self._search(lambda: self.engine.first(plan, turn.cancelled), turn)
        yield first
        if not first.final:
            yield await self._search(lambda: self.engine.final(plan, turn.cancelled), turn)

    async def run(self, work: Callable[[], ServedAnswer]) -> ServedAnswer:
        """Do other work of the engine, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _search(self, search: Callable[[], ServedAnswer], turn: Turn) -> ServedAnswer:
        if self._waiting >= self.most_waiting + 1:  # one is being answered
            raise Refusal(
                429, "too many searches wait", got=self._waiting, wanted=f"at most {self.most_waiting}",
                next_step="ask again in a second",
            )  # fmt: skip

        def begin() -> ServedAnswer:
            if turn.dropped.is_set():
                raise SearchCancelled("the search was cancelled")
            turn.ends_s = time.monotonic() + self.search_s
            return search()

        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, begin)
        future.add_done_callback(lambda _: self._leave())  # also when nobody waits for it any more
        try:
            found = await asyncio.shield(future)
        except SearchCancelled:
            if turn.dropped.is_set():
                raise
            raise Refusal(
                503, "the search took too long", got=f"more than {self.search_s:g} s", next_step="ask fewer systems"
            ) from None
        except asyncio.CancelledError:
            turn.dropped.set()
            future.add_done_callback(_seen)
            raise
        if turn.dropped.is_set():
            raise SearchCancelled("the search was cancelled")
        return found

    def _leave(self) -> None:
        self._waiting -= 1

    def drop_all(self) -> None:
        """Cancel what is being searched."""
        for turn in list(self._turns.values()):
            turn.dropped.set()

    def close(self) -> None:
        """End what is being searched, and the thread."""
        self.drop_all()
        self._thread.shutdown(wait=True, cancel_futures=True)


def _seen(future: asyncio.Future[ServedAnswer]) -> None:
    """Take the error of a search that nobody waits for."""
    if not future.cancelled():
        error = future.exception()
        if error is not None and not isinstance(error, AvsError | OSError):
            raise error
