from __future__ import annotations

import pytest
import torch

from avs.train.schedule import Schedule

VALUES = [0.10, 0.20, 0.19, 0.18, 0.17, 0.30, 0.29, 0.28, 0.27, 0.26, 0.25, 0.24, 0.5]


def test_laff_cuts_as_torchs_reduce_on_plateau_does() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, mode="max", factor=0.5, patience=2)
    schedule = Schedule(1.0, decay=1.0)
    for value in VALUES:
        plateau.step(value)
        schedule.step(value)
        assert schedule.rate == optimiser.param_groups[0]["lr"]


def test_dual_encoding_uses_a_rate_three_epochs_before_it_cuts_again() -> None:
    schedule = Schedule(1.0, decay=1.0, patience=0, rest=3)
    rates = []
    for value in (0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.2):
        schedule.step(value)
        rates.append(schedule.rate)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_every_epoch_decays() -> None:
    schedule = Schedule(1e-4)
    schedule.step(0.1)
    schedule.step(0.2)
    assert schedule.rate == pytest.approx(1e-4 * 0.99**2)
