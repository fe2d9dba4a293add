"""Stores made by several processes of this machine, one for each device; they share the jobs by leases.

The process that starts them has read and checked everything. It shows the progress of all, says when one is lost, and
ends them when it is ended. Each hangs on its lifeline (avs.core.processes), so they end when it is killed, too.
"""

from __future__ import annotations

import logging
import pickle
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from avs.core.errors import AvsError
from avs.core.processes import deaf_to_interrupts, hang_on, lifeline
from avs.core.progress import Reporter
from avs.core.shots import ShotTable
from avs.core.store import FeatureStore
from avs.core.store_parts import UnfinishedStore
from avs.features.claims import Shard
from avs.features.joint_progress import Distant, JointProgress, Told
from avs.features.stores import SourceOf, StorePlan, make_stores, stores_to_make

log = logging.getLogger(__name__)

PATIENCE_S = 30.0  # for processes that are to end in order, before they are killed
TERMINATED = 143

Left = list[UnfinishedStore | None]  # of the stores that were to be made: what each lacks; None: nothing
Ending = Left | BaseException | str  # of a process: in good order, by an error, or by what befell it


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """What one of the processes is to do.

    Attributes:
        name: what it is called.
        device: where it encodes.
        workers: number of its worker processes.
        shard: of the jobs; None: those that are free.
    """

    name: str
    device: str
    workers: int
    shard: Shard | None = None


def make_stores_on_devices(
    plans: Sequence[StorePlan],
    shots: ShotTable,
    source_of: SourceOf,
    *,
    devices: Sequence[str],
    workers: int = 0,
    shard: Shard | None = None,
    force: bool = False,
    reporter: Reporter | None = None,
    **options: Any,
) -> list[FeatureStore | UnfinishedStore]:
    """What make_stores returns, made by a process for each device. They are spawned, and all arguments picklable.

    When a process is lost, the others do its jobs, and the log has a warning. What they cannot do, because they had
    ended before, is done by one more process on a device that worked.

    Args:
        plans, shots, source_of, shard, force, reporter: as for make_stores.
        devices: "cpu", "cuda" or "cuda:N" each.
        workers: number of all worker processes; each device has its share, and one at least unless this is 0.
        options: further ones of make_stores.

    Raises:
        AvsError: what make_stores raises, if no process came to the end of its work; or all were killed.
    """
    reporter = reporter or Reporter()
    missing = stores_to_make(plans, force=force, reporter=reporter)
    left: Left = []
    if missing:
        with TemporaryDirectory(prefix="avs-") as folder:
            path = Path(folder) / "arguments"  # those of a million shots would keep the start of each process waiting
            with open(path, "wb") as file:
                pickle.dump((missing, shots, source_of, options), file)
            begun = shares(devices, workers, shard)
            left = made_together(
                missing,
                begun,
                lambda some: _run(path, some, reporter),
                lambda share: DeviceShare(share.name, share.device, workers, shard),
            )
    lacking = {plan.folder: one for plan, one in zip(missing, left, strict=True) if one and not plan.is_made}
    return [lacking.get(plan.folder) or FeatureStore(plan.folder) for plan in plans]


def shares(devices: Sequence[str], workers: int, shard: Shard | None) -> list[DeviceShare]:
    """The shares of processes on `devices`: of the workers, and of the jobs of a shard, which nobody leases."""
    count = len(devices)
    found = []
    for number, device in enumerate(devices):
        name = device if devices.count(device) == 1 else f"{device} ({devices[:number].count(device) + 1})"
        own = (workers + count - 1 - number) // count
        part = Shard(shard.number + shard.count * number, shard.count * count) if shard else None
        found.append(DeviceShare(name, device, max(own, min(1, workers)), part))
    return found


def made_together(
    missing: Sequence[StorePlan],
    begun: Sequence[DeviceShare],
    run: Callable[[Sequence[DeviceShare]], Mapping[DeviceShare, Ending]],
    again: Callable[[DeviceShare], DeviceShare],
) -> Left:
    """What the stores lack when all processes have ended.

    Args:
        begun: the share of each process.
        run: starts a process for each share; how they ended, in the order in which they ended.
        again: the share of one more process, which does what is left, where the process of a share was.

    Raises:
        AvsError: no process came to the end of its work.
    """
    endings = run(begun)
    well = [share for share in begun if isinstance(endings[share], list)]
    _warn_of_errors(endings)
    if well and len(well) < len(begun) and not all(plan.is_made for plan in missing):
        more = again(well[0])
        log.warning("a process was lost after others had ended: one more on %s does its jobs", more.device)
        endings = run([more])
    ended = [ending for ending in endings.values() if isinstance(ending, list)]
    if ended:
        return ended[-1]  # the others saw less of what was done
    for ending in endings.values():
        if isinstance(ending, BaseException):
            raise ending
    raise AvsError(
        "all processes have ended before their work was done",
        got="; ".join(f"the one on {share.name} {ending}" for share, ending in endings.items()),
        next_step="run the same command again, which keeps what is done; with fewer --workers if memory ran out",
    )


def _warn_of_errors(endings: Mapping[DeviceShare, Ending]) -> None:
    """Warn of errors of some processes; if no process ended well, the first is raised, and those that differ matter."""
    errors = {share: ending for share, ending in endings.items() if isinstance(ending, BaseException)}
    raised = None if len(errors) < len(endings) else next(iter(errors.values()), None)
    for share, error in errors.items():
        if raised is None or str(error) != str(raised):
            log.warning("the process on %s ended with an error: %s", share.name, error)


def _run(path: Path, begun: Sequence[DeviceShare], reporter: Reporter) -> dict[DeviceShare, Ending]:
    """How a process for each share ended, in the order in which they ended."""
    end, held = lifeline()
    children: list[_Child] = []
    endings: dict[DeviceShare, Ending] = {}
    with end, held, JointProgress(reporter) as progress:
        try:
            with deaf_to_interrupts():
                children += (_Child(share, end, path) for share in begun)
            living = {child.line: child for child in children}
            while living:
                for line in wait(list(living)):
                    child = living[line]  # type: ignore[index]
                    message = child.hear()
                    if isinstance(message, Told):
                        progress.take(child.share.name, message)
                        continue
                    del living[child.line]
                    endings[child.share] = message
                    if isinstance(message, str):
                        log.warning("the process on %s %s; its jobs are free for others", child.share.name, message)
        except BaseException:  # also Ctrl-C and SIGTERM
            for child in children:
                child.process.terminate()
            raise
        finally:
            for child in children:
                child.wait()
    return endings


class _Child:
    """A process on a device, as the one that started it sees it."""

    def __init__(self, share: DeviceShare, end: Connection, path: Path) -> None:
        context = get_context("spawn")
        self.share = share
        self.line, line = context.Pipe(duplex=False)
        with line:  # ours is closed, so that the end of the process ends what can be heard
            self.process = context.Process(target=_work, args=(end, line, path, share))
            self.process.start()

    def hear(self) -> Told | Ending:
        """The next message, of which the last is how it ended."""
        try:
            message: Told | Ending = self.line.recv()
            return message
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def wait(self) -> None:
        """Return when it has ended; one that takes too long is killed."""
        self.process.join(PATIENCE_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.line.close()


def _work(end: Connection, line: Connection, path: Path, share: DeviceShare) -> None:
    """What a process does. Its last message is what the stores lack, or its error."""
    hang_on(end)
    signal.signal(signal.SIGTERM, _end_in_order)
    logging.basicConfig(format=f"%(levelname)s: {share.name}: %(message)s", level=logging.WARNING)
    try:
        with open(path, "rb") as file:
            plans, shots, source_of, options = pickle.load(file)
        stores = make_stores(
            plans, shots, source_of, device=share.device, workers=share.workers, shard=share.shard,
            reporter=Distant(line.send), **options,
        )  # fmt: skip
        line.send([store if isinstance(store, UnfinishedStore) else None for store in stores])
    except (AvsError, OSError) as error:
        with suppress(OSError):
            line.send(error)


def _end_in_order(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one would break off the giving back of leases
    raise SystemExit(TERMINATED)
