"""The server: it listens at once, opens the collection meanwhile, and ends in order."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from avs.core.errors import ConfigError, MissingDependencyError
from avs.pipeline.serve_options import LOOPBACK, ServeOptions
from avs.serve.dres.password import dres_password
from avs.serve.page_keys import require_clear_keys

if TYPE_CHECKING:
    from avs.serve.state import ServerState
    from avs.serve.web_server import WebServer

BACKLOG = 128
ANY_ADDRESS = ("0.0.0.0", "::")


class PageServer:
    """A server on a socket of its own, which listens when this is made.

    Attributes:
        address: with the token, where there is one.
        state: what it serves.

    Raises:
        ConfigError: the address cannot be used; no password for --dres; another server submits from the same queue.
        MissingDependencyError: the web packages are not installed.
    """

    def __init__(self, options: ServeOptions) -> None:
        require_web_packages()
        require_clear_keys(options.keys)
        self._password = dres_password(options)
        self.listener = _listen(options)
        port = self.listener.getsockname()[1]
        named = own_names(options.host)[0]
        host = f"[{named}]" if ":" in named else named
        self.options, self.root = options, f"http://{host}:{port}/"
        self.failed = threading.Event()
        self.state: ServerState
        self.server: WebServer
        try:
            self._make()
        except BaseException:
            self.listener.close()
            raise

    def _make(self) -> None:
        """The application; importing what it needs takes longer than listening."""
        from avs.serve.app import make_app
        from avs.serve.guard import Token
        from avs.serve.state import ServerState
        from avs.serve.web_server import WebServer

        options = self.options
        token = Token(options.cache / "token") if options.token else None
        self.address = self.root + (f"#t={token.value}" if token else "")
        self.state = ServerState(options, self._password)
        app = make_app(self.state, hosts=[*LOOPBACK, *own_names(options.host), *options.allow_hosts], token=token)
        limits = options.limits
        self.server = WebServer(
            app, clients=limits.clients, header_s=limits.header_s, ending=self.state.end_what_is_under_way
        )

    def run(self) -> None:
        """Serve until the process is told to end.

        Raises:
            AvsError: the collection cannot be opened.
        """
        self.state.open(self.failed)
        threading.Thread(target=self._end_when_failed, daemon=True).start()
        with suppress(KeyboardInterrupt, SystemExit):  # Ctrl-C and SIGTERM: it has done its work
            self.server.run(sockets=[self.listener])
        self.listener.close()
        if self.state.error is not None:
            raise self.state.error

    def end(self) -> None:
        """Tell it to end."""
        self.server.should_exit = True

    def _end_when_failed(self) -> None:
        self.failed.wait()
        self.end()


def serve(options: ServeOptions, *, listening: Callable[[str], None]) -> None:
    """Serve until the process is told to end.

    Args:
        listening: called with the address as soon as it is there.

    Raises:
        AvsError: what PageServer refuses; the collection cannot be opened.
    """
    server = PageServer(options)
    listening(server.address)
    server.run()


def own_names(host: str) -> list[str]:
    """The names of the address that the server listens at; of "all addresses" those of this machine."""
    if host not in ANY_ADDRESS:
        return [host]
    names = [socket.gethostname()]
    with suppress(OSError):  # a machine may not know its own name
        names += [str(place[0]) for *_, place in socket.getaddrinfo(names[0], None)]
    return list(dict.fromkeys(names))


def require_web_packages() -> None:
    """Check that the web packages are installed.

    Raises:
        MissingDependencyError: they are not.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "avs serve needs web packages that are not installed",
            got=str(error),
            next_step='install them: pip install "avs[serve]"',
        ) from error


def _listen(options: ServeOptions) -> socket.socket:
    """The socket on which the server listens.

    Raises:
        ConfigError: the address cannot be used.
    """
    listener = None
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
        return listener
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ConfigError(
            "the address cannot be used",
            where=f"{options.host}:{options.port}",
            got=error.strerror or str(error),
            next_step="is another server there? Choose another port, or let one be picked: --port 0",
        ) from error
