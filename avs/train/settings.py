"""How any model is trained: optimiser, schedule, stopping, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a training. The defaults are those of the authors' LAFF.

    Attributes:
        optimiser: "rmsprop" (alpha 0.99, eps 1e-8) or "adam".
        learning_rate: learning rate of the first epoch.
        decay: factor on the learning rate after every epoch.
        cut: further factor when validation has stopped improving.
        cut_patience: the learning rate is cut after more than this number of epochs in a row without a rise.
        cut_threshold: smallest rise of the validation measure that counts for `cut_patience`, relative to the best;
            torch's 1e-4 in LAFF, 0 in Dual Encoding.
        cut_rest: smallest number of epochs between two cuts.
        clip_norm: largest norm of all gradients together.
        batch_size: number of pairs per step, over all workers.
        epochs: largest number of epochs.
        patience: training stops after this number of epochs in a row without a new best; 10 in LAFF, whose counter
            counts the best epoch too, and 11 in Dual Encoding, which stops after more than 10.
        average_last: number of last epochs whose weights are averaged into a second checkpoint; 0: none.
        precision: "float32", "bfloat16" (autocast), or on CUDA "float16" (autocast and scaled gradients).
        seed: random seed for weights, order and dropout.
        save_every_s: seconds of training after which the state is saved within an epoch.
        legacy: do as the authors' code does, where it differs from what it means to do: gradients are clipped before
            they are unscaled (float16), and the averaged weights are those of the last epoch.
    """

    optimiser: Literal["rmsprop", "adam"] = "rmsprop"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    cut: Annotated[float, Field(gt=0, le=1)] = 0.5
    cut_patience: Annotated[int, Field(ge=0)] = 2
    cut_threshold: Annotated[float, Field(ge=0)] = 1e-4
    cut_rest: Annotated[int, Field(ge=0)] = 0
    clip_norm: Annotated[float, Field(gt=0)] = 2.0
    batch_size: Annotated[int, Field(ge=2)] = 128
    epochs: Annotated[int, Field(ge=1)] = 80
    patience: Annotated[int, Field(ge=1)] = 10
    average_last: Annotated[int, Field(ge=0)] = 10
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: Annotated[int, Field(ge=0)] = 2
    save_every_s: Annotated[float, Field(ge=0)] = 600.0
    legacy: bool = False
