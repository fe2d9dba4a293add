"""Where work runs: on devices of this process, or of processes that it or torchrun starts, or on a cluster."""

from __future__ import annotations

from dataclasses import dataclass

from avs.cluster.placement import ClusterRequest
from avs.core.device import available_cores, require_devices
from avs.core.errors import ConfigError, Problems
from avs.core.torchrun import Rank, device_of_rank, rank_of_environment


@dataclass(frozen=True, slots=True)
class DevicePlacement:
    """Where an extraction runs.

    Attributes:
        device: of this process.
        devices: of processes that it is to start; (): it does the work itself.
        workers: number of its worker processes, or of all those; None: one per core.
        speaks: whether it shows progress and a summary; of several that torchrun started, the first does.
        cluster: what is asked of a Ray cluster, which does the work then; None: no cluster does.
    """

    device: str = "cpu"
    devices: tuple[str, ...] = ()
    workers: int | None = None
    speaks: bool = True
    cluster: ClusterRequest | None = None


def place(
    device: str | None,
    devices: str | None,
    *,
    workers: int | None = None,
    force: bool = False,
    cluster: str | None = None,
    actors: int | None = None,
    rank: Rank | None = None,
) -> DevicePlacement:
    """The placement that options and environment ask for.

    Args:
        device: of --device; None: not given.
        devices: of --devices, with commas between them; None: not given.
        workers: of --workers; None: one per core, which processes of one machine share.
        force: whether stores are to be discarded.
        cluster, actors: of --cluster and --actors; None: not given.
        rank: of this process; None: as torchrun says.

    Raises:
        ConfigError: options that do not fit each other, or torchrun; devices that are none.
        MissingDependencyError: CUDA devices that this machine does not have.
    """
    rank = rank_of_environment() if rank is None else rank
    if cluster is not None or actors is not None:
        request = place_on_cluster(cluster, actors, device, devices=devices, workers=workers, rank=rank)
        return DevicePlacement(device or "cpu", (), workers, True, request)
    problems = Problems("options that do not fit each other")
    if devices is not None and device is not None:
        problems.add("--devices", "it replaces --device: give one of them")
    if devices is not None and rank.count > 1:
        problems.add("--devices", "torchrun has started a process for each device: give --device cuda")
    if force and rank.count > 1:
        problems.add("--force", f"all {rank.count} processes of torchrun would discard stores, also those under way")
    problems.raise_if_any(
        ConfigError,
        next_step="without torchrun, --devices cuda:0,cuda:1 starts a process for each GPU, also with --force",
    )
    if devices is not None:
        import torch

        named = [name.strip() for name in devices.split(",") if name.strip()]
        return DevicePlacement(
            devices=tuple(require_devices(named, cuda_devices=torch.cuda.device_count)), workers=workers
        )
    if workers is None and rank.local_count > 1:
        workers = max(1, available_cores() // rank.local_count)
    return DevicePlacement(device_of_rank(device or "cpu", rank), (), workers, rank.first)


def place_on_cluster(
    cluster: str | None,
    actors: int | None,
    device: str | None,
    *,
    devices: str | None = None,
    workers: int | None = None,
    rank: Rank | None = None,
) -> ClusterRequest | None:
    """What is asked of a cluster; None: nothing. Nobody has looked for the cluster yet.

    Args: as for place.

    Raises:
        ConfigError: options that do not fit each other, or torchrun; all of them.
    """
    rank = rank_of_environment() if rank is None else rank
    problems = Problems("options that do not fit each other")
    if cluster is None and actors is not None:
        problems.add("--actors", "it is the number of actors on a cluster: give --cluster ray, too")
    if cluster is not None and devices is not None:
        problems.add("--devices", "a cluster gives each actor its device: give --device cuda, and --actors if need be")
    if cluster is not None and device not in (None, "cpu", "cuda"):
        problems.add("--device", f"{device}: a cluster chooses the GPUs; give cpu or cuda")
    if cluster is not None and rank.count > 1:
        problems.add("--cluster", "torchrun has started processes already: run the command without it")
    problems.raise_if_any(ConfigError)
    return None if cluster is None else ClusterRequest(device or "cpu", actors, workers)
