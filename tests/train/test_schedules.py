"""Learning rates as the authors' codes set them: by epochs and validation, or step by step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import SETTINGS, trainer

from avs.models.architectures import architectures
from avs.train.record import read_metrics
from avs.train.schedules import make_schedule
from avs.train.schedules.plateau import Plateau
from avs.train.schedules.warm_up_cosine import WarmUpCosine
from avs.train.settings import Settings


@pytest.mark.parametrize(
    ("share", "factor"), [(0.0, 0.0), (0.05, 0.5), (0.0999, 0.999), (0.1, 0.97552826), (0.5, 0.5), (1.0, 0.0)]
)
def test_the_table_of_the_method_card(share: float, factor: float) -> None:  # N4
    assert WarmUpCosine(3.0, 10_000).rate_of(round(share * 10_000)) == pytest.approx(3 * factor, abs=1e-7)


def test_without_a_warm_up_it_starts_at_its_peak() -> None:
    assert WarmUpCosine(2.0, 100, warm_up=0.0).rate_of(0) == 2.0


def test_the_steps_of_all_epochs_count() -> None:
    schedule = make_schedule(Settings(schedule="cosine", epochs=5, learning_rate=1.0), steps_per_epoch=20)
    assert isinstance(schedule, WarmUpCosine) and schedule.steps == 100
    schedule.end_epoch(0.3)
    assert schedule.rate_of(50) == pytest.approx(0.5)


def test_a_training_moves_its_rate_with_every_step_and_goes_on_with_it_after_a_kill(tmp_path: Path) -> None:
    settings = replace(SETTINGS, schedule="cosine", epochs=4)
    rates: list[float] = []

    def run(settings: Settings, steps: int) -> None:
        loop = trainer(tmp_path, settings)
        step = loop.step

        def counted(*args: object) -> float:
            if len(rates) == steps:
                raise KeyboardInterrupt
            rates.append(loop.optimiser.param_groups[0]["lr"])
            return step(*args)  # type: ignore[arg-type]

        loop.step = counted  # type: ignore[method-assign]
        loop.run()

    with pytest.raises(KeyboardInterrupt):
        run(replace(settings, save_every_s=0.0), 10)
    run(settings, 10**6)
    total = len(trainer(tmp_path / "other").sampler) * 4
    wanted = WarmUpCosine(settings.learning_rate, total)
    assert rates == [wanted.rate_of(step) for step in range(total)]
    assert read_metrics(tmp_path)[-1]["learning_rate"] == wanted.rate_of(total - 1)


@pytest.mark.parametrize("move", [1e-1, 1e-3, 1e-4, 3e-5])
@pytest.mark.parametrize("seed", range(10))
def test_laff_cuts_as_torchs_reduce_on_plateau_does(move: float, seed: int) -> None:
    values = (0.3 + move * torch.randn(40, generator=torch.Generator().manual_seed(seed)).cumsum(0)).tolist()
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([weight], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(sgd, mode="max", factor=0.5, patience=2)
    schedule = Plateau.of(Settings(learning_rate=1.0, decay=1.0))
    for value in values:
        plateau.step(value)
        schedule.end_epoch(value)
        assert schedule.rate == sgd.param_groups[0]["lr"]


def test_dual_encoding_uses_a_rate_three_epochs_before_it_cuts_again() -> None:
    authors = architectures.get("dual-encoding").recipe["training"]
    schedule = Plateau.of(Settings(**authors, learning_rate=1.0, decay=1.0))
    rates = []
    for value in (0.2, 0.1, 0.1, 0.1, 0.1, 0.1, 0.20001, 0.1, 0.200011):
        schedule.end_epoch(value)
        rates.append(schedule.rate)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25]


def test_every_epoch_decays() -> None:
    schedule = Plateau(1e-4)
    schedule.end_epoch(0.1)
    schedule.end_epoch(0.2)
    assert schedule.rate == pytest.approx(1e-4 * 0.99**2)
