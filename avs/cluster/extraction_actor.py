"""An actor that extracts: what runs on a node. It makes stores as a process of `--devices` does."""

from __future__ import annotations

import logging
import math
import pickle
import traceback
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

from avs.cluster.node_check import NodeCheck
from avs.core.errors import AvsError
from avs.core.process_marks import ProcessMark, this_process
from avs.core.store_parts import UnfinishedStore
from avs.features.device_processes import DeviceShare, Ending
from avs.features.joint_progress import Distant, Told
from avs.features.stores import make_stores


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning of an actor's log."""

    line: str


Message = ProcessMark | Told | Warned | Ending
"""Of an actor: first which process it is, last how it ended."""


class ExtractionActor:
    """Works in a thread, and is heard by whoever started it."""

    def __init__(self) -> None:
        self._line: SimpleQueue[Message] = SimpleQueue()

    def begin(self, work: bytes, share: DeviceShare, check: NodeCheck, cpus: float) -> None:
        """Begin to work.

        Args:
            work: pickled (plans, shots, source_of, options) of make_stores.
            share: what this actor is to do.
            check: what this node must have.
            cpus: number of CPUs that it may use.
        """
        Thread(target=self._work, args=(work, share, check, cpus), daemon=True).start()

    def hear(self) -> list[Message]:
        """What there is to say since the last time, waiting for it if there is nothing."""
        messages = [self._line.get()]
        while True:
            try:
                messages.append(self._line.get_nowait())
            except Empty:
                return messages

    def _work(self, work: bytes, share: DeviceShare, check: NodeCheck, cpus: float) -> None:
        self._line.put(this_process())
        telling = _Telling(self._line)
        logging.getLogger("avs").addHandler(telling)
        try:
            check.require()
            self._line.put(self._made(work, share, cpus))
        except (AvsError, OSError) as error:
            self._line.put(error)
        except BaseException as error:  # whoever listens must hear of the end
            traceback.print_exc()  # into Ray's log of this process
            self._line.put(f"ended with {type(error).__name__}: {error}")
        finally:
            logging.getLogger("avs").removeHandler(telling)

    def _made(self, work: bytes, share: DeviceShare, cpus: float) -> Ending:
        """What the stores lack when this actor has done what it could."""
        import torch

        torch.set_num_threads(math.ceil(cpus))  # Ray rounds down, and a plain process has one for every core
        plans, shots, source_of, options = pickle.loads(work)
        stores = make_stores(
            plans, shots, source_of, device=share.device, workers=share.workers, shard=share.shard,
            reporter=Distant(self._line.put), **options,
        )  # fmt: skip
        return [store if isinstance(store, UnfinishedStore) else None for store in stores]


class _Telling(logging.Handler):
    """Warnings reach whoever started the actor."""

    def __init__(self, line: SimpleQueue[Message]) -> None:
        super().__init__(logging.WARNING)
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.put(Warned(record.getMessage()))
