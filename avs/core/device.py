"""Names of devices, read in one place: cpu, cuda or cuda:N; and cores, their number and how threads wait for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from avs.core.errors import AvsError, ConfigError, MissingDependencyError, Problems

WAITING = "OMP_WAIT_POLICY"
"""Variable of the environment: how threads wait for each other."""


def require_device(name: str, *, cuda_devices: Callable[[], int]) -> str:
    """`name`, when it is a device of this machine.

    Args:
        cuda_devices: counts the CUDA devices, such as torch.cuda.device_count; not asked for a CPU.

    Raises:
        ConfigError: not a name of a device.
        MissingDependencyError: a CUDA device that this machine does not have.
    """
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()) or (kind == "cpu" and ":" in name):
        raise ConfigError(f'unknown device "{name}"', wanted="cpu, cuda or cuda:N")
    if kind == "cuda":
        count = cuda_devices()
        if int(number or 0) >= count:
            raise MissingDependencyError(
                f'there is no CUDA device "{name}"',
                got=f"{count} CUDA device{'s' * (count != 1)}",
                next_step="use --device cpu; or install a CUDA build of torch and its driver (`avs info --env`)",
            )
    return name


def require_devices(names: Sequence[str], *, cuda_devices: Callable[[], int]) -> list[str]:
    """The devices of several processes of this machine; "cuda" becomes "cuda:0".

    Args:
        names: of the devices; "cpu" may occur several times.
        cuda_devices: as for require_device.

    Raises:
        ConfigError: none, a name of no device, or a GPU twice; all problems at once.
        MissingDependencyError: CUDA devices that this machine does not have, and nothing else.
    """
    full = ["cuda:0" if name == "cuda" else name for name in names]
    problems, kinds = Problems("devices that cannot be used"), set()
    for name in dict.fromkeys(full):
        try:
            require_device(name, cuda_devices=cuda_devices)
            if name != "cpu" and full.count(name) > 1:
                raise ConfigError("a GPU is named more than once")
        except AvsError as error:
            problems.add(name, error.what)
            kinds.add(type(error))
    if not names:
        problems.add("--devices", "it names none")
    problems.raise_if_any(
        MissingDependencyError if kinds == {MissingDependencyError} else ConfigError,
        next_step="name each GPU once, with commas between them, such as cuda:0,cuda:1; `avs info --env` lists those "
        "of this machine",
    )
    return full


def available_cores() -> int:
    """Number of cores that this process may use; on systems that cannot say, of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def let_threads_sleep() -> None:
    """Let torch's threads sleep while they wait for each other; before torch is imported, since it reads this once.

    Otherwise they spin, which takes the core from the decoder that they wait for. `OMP_WAIT_POLICY` that the user has
    set stays as it is.
    """
    os.environ.setdefault(WAITING, "passive")
