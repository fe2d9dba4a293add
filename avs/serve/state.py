"""The state of a server: what is opened, by a thread of its own while the server answers already."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from avs.pipeline.serve_options import ServeOptions
from avs.serve.answers import Answers
from avs.serve.dres.showdown import Showdown
from avs.serve.events import Events
from avs.serve.journal.marks import MarkBook
from avs.serve.journal.sessions import SessionFolder
from avs.serve.media import Media, media_cache
from avs.serve.opened.collection import Collection, open_collection
from avs.serve.refusal import Refusal
from avs.serve.search.desk import Desk
from avs.serve.search.engine import Engine
from avs.serve.shapes import Event, Loading, MediaFacts, Status
from avs.serve.study import Studies
from avs.serve.uploads import Uploads


class _Stopped(Exception):
    """The server was told to end while it opened the collection."""


class OpenedServer:
    """Everything that answers questions about a collection.

    Args:
        collection: that was opened.
        book: of marks.
        uploads: of pictures.
    """

    def __init__(self, collection: Collection, book: MarkBook, uploads: Uploads) -> None:
        options = collection.options
        limits = options.limits
        self.collection, self.book, self.uploads = collection, book, uploads
        cache = media_cache(options.cache, collection.columns, options.videos, options.keyframes)
        self.media = Media(
            collection.columns, collection.videos, options.keyframes, cache, at_once=limits.pictures,
            sprites=limits.sprites,
        )  # fmt: skip
        self.engine = Engine(collection, book, uploads.get)
        self.desk = Desk(self.engine, waiting=limits.waiting, search_s=limits.search_s)
        self.answers = Answers(collection, book, self.media.known_zero_s)
        self.studies = Studies(collection, book)
        self.sessions = SessionFolder(None if options.read_only else options.sessions, book.journal.path)


class ServerState:
    """What routes ask.

    Args:
        dres_password: of --dres-user; None: there is no evaluation server.

    Attributes:
        error: why it cannot be opened; the server ends then.
        workers: threads for everything but searches; pictures: threads for pictures.
        asked: one thread, in which questions reach the journal in the order of their answers.
    """

    def __init__(self, options: ServeOptions, dres_password: str | None = None) -> None:
        self.options = options
        self.events = Events(options.limits.clients)
        self.showdown = Showdown(options, dres_password, self.events)
        self.workers = ThreadPoolExecutor(4, thread_name_prefix="work")
        self.pictures = ThreadPoolExecutor(8, thread_name_prefix="picture")
        self.asked = ThreadPoolExecutor(1, thread_name_prefix="asked")
        self.error: BaseException | None = None
        self._opened: OpenedServer | None = None
        self._loading = Loading(what="starting", done=0, of=1)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def opened(self) -> OpenedServer:
        """What is opened.

        Raises:
            Refusal: it is not, yet.
        """
        if self._opened is None:
            loading = self._loading
            raise Refusal(
                503, "the collection is being opened", got=f"{loading.what}, {loading.done} of {loading.of}",
                next_step="ask again in a moment; GET /status tells how far it is",
            )  # fmt: skip
        return self._opened

    def open(self, failed: threading.Event) -> None:
        """Open everything in a thread; `failed` is set if it cannot be."""

        def work() -> None:
            try:
                with _uncollected():
                    collection = open_collection(self.options, self._report)
                folder = None if self.options.read_only else self.options.sessions
                book = MarkBook(folder, self.options.limits.journal_bytes)
                collection.warnings += [
                    f"{path}: {count} damaged lines were passed over" for path, count in book.damaged.items()
                ]
                book.sent = self.showdown.sent_shots
                self.showdown.attach(book.journal.append)
                uploads = Uploads(self.options.limits.uploads, self.options.limits.upload_pixels)
                self._opened = OpenedServer(collection, book, uploads)
                self.events.say(Event(kind="ready"))
                self._opened.media.look_at_all(self._stopped.is_set)
            except _Stopped:
                pass
            except BaseException as error:  # the server ends with it
                self.error = error
                failed.set()

        self.showdown.start()
        self._thread = threading.Thread(target=work, name="open", daemon=True)
        self._thread.start()

    def _report(self, what: str, done: int, of: int) -> None:
        if self._stopped.is_set():
            raise _Stopped
        self._loading = Loading(what=what, done=done, of=max(of, 1))
        self.events.say(Event(kind="loading", loading=self._loading))

    def end_what_is_under_way(self) -> None:
        """Let streams and searches end."""
        self._stopped.set()
        self.events.end()
        if self._opened is not None:
            self._opened.desk.drop_all()

    def close(self) -> None:
        """End the threads."""
        self.end_what_is_under_way()
        if self._opened is not None:
            self._opened.desk.close()
        self.showdown.close()
        self.asked.shutdown(wait=True)
        self.workers.shutdown(wait=True, cancel_futures=True)
        self.pictures.shutdown(wait=True, cancel_futures=True)

    def status(self) -> Status:
        """GET /status"""
        opened, options = self._opened, self.options
        limits = {name: float(value) for name, value in options.limits.model_dump().items()}
        common: dict[str, Any] = {
            "version": _version(), "read_only": options.read_only, "keys": dict(options.keys), "limits": limits,
            "dres": self.showdown.server,
        }  # fmt: skip
        if opened is None:
            nothing = MediaFacts(keyframes=False, videos=False, times=False, missing={})
            return Status(
                ready=False, loading=self._loading, shots=0, videos=0, systems=[], media=nothing, topics=0,
                qrels=False, fingerprint="", **common,
            )  # fmt: skip
        collection = opened.collection
        return Status(
            ready=True, shots=len(collection.columns), videos=len(collection.columns.videos),
            systems=collection.facts(), media=collection.media_facts(),
            topics=len(collection.topics) if collection.topics else 0, qrels=collection.qrels is not None,
            texts=dict(collection.texts.kinds) if collection.texts else {},
            fingerprint=collection.fingerprint, **common,
        )  # fmt: skip


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is made in here is looked through for garbage later: of torch and a million shots that takes a while."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _version() -> str:
    try:
        return version("avs")
    except PackageNotFoundError:
        return "unknown"
