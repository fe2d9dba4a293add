"""LAVIS as this process asks it: a worker that is started when needed, greeted, and started again when it is lost."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from threading import Lock
from typing import Any

import numpy as np

from avs.core.errors import AvsError, DataError, MissingDependencyError
from avs.features.lavis.environment import require_known_worker, setup_command, worker_command
from avs.features.lavis.line import LavisGoneError, LavisLine

log = logging.getLogger(__name__)

START_S = 900.0  # how long a model may take to load: ViT-g is read from disk, and LAVIS is imported
ANSWER_S, ANSWER_PER_ITEM_S = 600.0, 30.0  # how long a batch may take: the more of the two


class LavisClient:
    """A worker with a model, or without one.

    A worker that dies, or hangs, is replaced once for each message; the message is sent again, since it decides its
    answer alone. When the second worker is lost with the same message, that is an error.

    Args:
        folder: of the environment.
        opening: the message that loads a model; None: the worker is only greeted.
        start_s, answer_s: how long a worker may give no sign of life until it has loaded, and until it has answered;
            None: what is enough for the largest model on a few cores.
    """

    def __init__(
        self,
        folder: Path,
        opening: Mapping[str, Any] | None = None,
        *,
        start_s: float = START_S,
        answer_s: float | None = None,
    ) -> None:
        self.folder, self._opening, self._start_s, self._answer_s = folder, opening, start_s, answer_s
        self.versions: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self._line: LavisLine | None = None
        self._lock = Lock()

    def open(self) -> LavisClient:
        """Start the worker, and load the model; this client.

        Raises:
            MissingDependencyError: there is no environment, or it has other packages.
            AvsError: the worker cannot load the model, or is lost twice.
        """
        with self._lock:
            self._twice(self._started)
        return self

    def ask(
        self, header: Mapping[str, Any], arrays: Sequence[np.ndarray] = (), *, items: int = 1
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """The answer to a message.

        Args:
            items: number of images or texts in it.

        Raises:
            AvsError: the worker could not answer it, or was lost twice.
        """
        limit_s = self._answer_s or max(ANSWER_S, ANSWER_PER_ITEM_S * items)

        def exchange() -> tuple[dict[str, Any], list[np.ndarray]]:
            line = self._started()
            line.send(header, arrays, timeout_s=limit_s)
            return self._answer(line, limit_s)

        with self._lock:
            answer: tuple[dict[str, Any], list[np.ndarray]] = self._twice(exchange)
            return answer

    def close(self) -> None:
        """End the worker."""
        line, self._line = self._line, None
        if line is not None:
            line.end()

    def __enter__(self) -> LavisClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _twice(self, exchange: Any) -> Any:
        """What `exchange` returns, with a new worker if the first is lost. Whatever breaks it off ends the worker."""
        try:
            return exchange()
        except LavisGoneError as error:
            log.warning("the LAVIS worker %s: another one is started%s", error, self._last_lines())
            self.close()
        except BaseException:  # also Ctrl-C: an answer that is under way would be taken for that to the next message
            self.close()
            raise
        try:
            return exchange()
        except LavisGoneError as error:
            said = self._last_lines()
            self.close()
            raise AvsError(
                "the LAVIS worker was lost, and so was the one in its place",
                where=self.folder,
                got=f"it {error}{said}",
                next_step="run the same command again, which keeps what is done; with a smaller --batch-size if "
                "memory ran out",
            ) from error
        except BaseException:
            self.close()
            raise

    def _last_lines(self) -> str:
        """What the worker said last, for a message."""
        said = self._line.last_lines if self._line else ""
        return "; its last lines:\n" + indent(said, "    ") if said else ""

    def _started(self) -> LavisLine:
        """The line to a worker that has greeted, and has loaded the model."""
        if self._line is not None:
            return self._line
        try:
            self._line = LavisLine(worker_command(self.folder))
        except OSError as error:
            raise MissingDependencyError(
                "the Python of the LAVIS environment cannot be started", where=self.folder, got=error
            ) from error
        greeting, _ = self._line.hear(timeout_s=self._start_s)
        self.versions = require_known_worker(greeting, self.folder)
        if self._opening is not None:
            self._line.send(self._opening, timeout_s=self._start_s)
            self.facts, _ = self._answer(self._line, self._start_s)
        return self._line

    def _answer(self, line: LavisLine, limit_s: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        header, arrays = line.hear(timeout_s=limit_s)
        if header.get("type") == "error":
            raise DataError(
                "LAVIS could not do it",
                where=self.folder,
                got=f"{header.get('what')}{self._last_lines()}",
                next_step=f"check the weights; the environment is tested by {setup_command(self.folder)}",
            )
        return header, arrays
