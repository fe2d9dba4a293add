"""How any model is trained: optimiser, schedule, stopping, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a training. The defaults are those of the authors' LAFF.

    Attributes:
        optimiser: "rmsprop" (alpha 0.99), "adam", "adamw" (decoupled weight decay), or "bert-adam" (that without bias
            correction, and with every tensor's gradient clipped to norm 1).
        learning_rate: learning rate of the first epoch; with schedule "cosine" the largest.
        betas, eps: of the Adams; eps of RMSprop too.
        weight_decay: of "adamw" and "bert-adam". Biases and the weights of normalisations are spared.
        schedule: "plateau": the next six options, from epoch to epoch; "cosine": a linear warm-up and half a cosine,
            from step to step.
        warm_up: share of all steps in which the rate of "cosine" rises.
        decay: factor on the learning rate after every epoch.
        cut: further factor when validation has stopped improving.
        cut_patience: the learning rate is cut after more than this number of epochs in a row without a rise.
        cut_threshold: smallest rise of the validation measure that counts for `cut_patience`, relative to the best;
            torch's 1e-4 in LAFF, 0 in Dual Encoding.
        cut_rest: smallest number of epochs between two cuts.
        ema: decay of a moving average of the weights, which is what is validated and kept; None: the weights are.
        chunk: number of pairs that are embedded at a time. Embeddings are made twice, and memory no longer grows with
            the batch, whose gradient is the same (gradient caching, Gao et al. 2021); None: all at once.
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
            they are unscaled (float16), the averaged weights are those of the last epoch, and weight decay spares what
            BERT's names say.

    Raises:
        ValueError: weight decay with an optimiser that has none.
    """

    optimiser: Literal["rmsprop", "adam", "adamw", "bert-adam"] = "rmsprop"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["plateau", "cosine"] = "plateau"
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.1
    decay: Annotated[float, Field(gt=0, le=1)] = 0.99
    cut: Annotated[float, Field(gt=0, le=1)] = 0.5
    cut_patience: Annotated[int, Field(ge=0)] = 2
    cut_threshold: Annotated[float, Field(ge=0)] = 1e-4
    cut_rest: Annotated[int, Field(ge=0)] = 0
    clip_norm: Annotated[float, Field(gt=0)] = 2.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    chunk: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=2)] = 128
    epochs: Annotated[int, Field(ge=1)] = 80
    patience: Annotated[int, Field(ge=1)] = 10
    average_last: Annotated[int, Field(ge=0)] = 10
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    seed: Annotated[int, Field(ge=0)] = 2
    save_every_s: Annotated[float, Field(ge=0)] = 600.0
    legacy: bool = False

    def __post_init__(self) -> None:
        if self.weight_decay and not self.decays_weights:
            raise ValueError(f"weight_decay is for adamw and bert-adam, got {self.optimiser}")

    @property
    def decays_weights(self) -> bool:
        """Whether the optimiser has weight decay."""
        return self.optimiser in ("adamw", "bert-adam")
