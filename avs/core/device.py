"""Names of devices, read in one place: cpu, cuda or cuda:N; and the number of cores."""

from __future__ import annotations

import os
from collections.abc import Callable

from avs.core.errors import ConfigError, MissingDependencyError


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


def available_cores() -> int:
    """Number of cores that this process may use; on systems that cannot say, of all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
