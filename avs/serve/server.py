"""The server: it listens at once, opens the collection meanwhile, and ends in order."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from avs.core.errors import ConfigError, MissingDependencyError
from avs.pipeline.serve_options import LOOPBACK, ServeOptions

BACKLOG = 128
HEADER_BYTES = 16 * 1024


def serve(options: ServeOptions, *, listening: Callable[[str], None]) -> None:
    """Serve until the process is told to end.

    Args:
        listening: called with the address as soon as it is there.

    Raises:
        MissingDependencyError: the web packages are not installed.
        ConfigError: the address cannot be used.
        AvsError: the collection cannot be opened.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingDependencyError(
            "avs serve needs web packages that are not installed",
            got=str(error),
            next_step='install them: pip install "avs[serve]"',
        ) from error
    listener = _listen(options)
    address = _address(options.host, listener.getsockname()[1])
    from avs.serve.app import make_app
    from avs.serve.guard import Token
    from avs.serve.state import ServerState

    token = Token(options.cache / "token") if options.token else None
    state = ServerState(options)
    app = make_app(state, hosts=[*LOOPBACK, options.host, *options.allow_hosts], token=token)
    server = uvicorn.Server(
        uvicorn.Config(
            app, http="h11", ws="none", lifespan="on", log_level="warning", access_log=False, server_header=False,
            date_header=True, timeout_graceful_shutdown=3, timeout_keep_alive=30, proxy_headers=False,
            h11_max_incomplete_event_size=HEADER_BYTES, limit_concurrency=options.limits.clients,
        )
    )  # fmt: skip
    failed = threading.Event()
    listening(address + (f"#t={token.value}" if token else ""))
    state.open(failed)
    watcher = threading.Thread(target=_end_when, args=(failed, server), daemon=True)
    watcher.start()
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    listener.close()
    if state.error is not None:
        raise state.error


def _end_when(failed: threading.Event, server: object) -> None:
    """End the server when the collection cannot be opened."""
    failed.wait()
    server.should_exit = True  # type: ignore[attr-defined]  # a uvicorn.Server


def _listen(options: ServeOptions) -> socket.socket:
    """The socket on which the server listens.

    Raises:
        ConfigError: the address cannot be used.
    """
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
        return listener
    except OSError as error:
        raise ConfigError(
            "the address cannot be used",
            where=f"{options.host}:{options.port}",
            got=error.strerror or str(error),
            next_step="is another server there? Choose another port, or let one be picked: --port 0",
        ) from error


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
