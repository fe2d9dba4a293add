"""Questions to a collection that nobody serves: for --replay and --export-page."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from avs.core.progress import Reporter
from avs.pipeline.serve_options import ServeOptions
from avs.ranking.split import one_thread
from avs.serve.journal.marks import MarkBook
from avs.serve.opened.collection import open_collection
from avs.serve.search.engine import Engine, ServedAnswer
from avs.serve.search.plan import plan_search
from avs.serve.shapes import Query
from avs.serve.uploads import Uploads


class Questions:
    """What is opened, and its answers, made as the server makes them.

    Raises:
        AvsError: something cannot be opened, or does not fit the rest.
    """

    def __init__(self, options: ServeOptions, reporter: Reporter) -> None:
        told = set[str]()

        def report(what: str, done: int, of: int) -> None:
            if what not in told:
                told.add(what)
                reporter.say(f"opening: {what}")

        self.collection = open_collection(options, report)
        for warning in self.collection.warnings:
            reporter.say(f"warning: {warning}")
        no_pictures = Uploads(1, options.limits.upload_pixels)
        self._engine = Engine(self.collection, MarkBook(None, 0), no_pictures.get)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="search", initializer=one_thread)

    def answer(self, query: Query, book: MarkBook) -> ServedAnswer:
        """The final list of a question.

        Args:
            book: of the marks that it may use.

        Raises:
            AvsError: it cannot be answered.
        """
        plan = plan_search(query, self.collection, book)

        def work() -> ServedAnswer:
            first = self._engine.first(plan, _never)
            return first if first.final else self._engine.final(plan, _never)

        return self._thread.submit(work).result()

    def __enter__(self) -> Questions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()


def _never() -> bool:
    return False
