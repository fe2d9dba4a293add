"""The training loop of all models: epochs of steps, validation, early stop, the best and the averaged weights.

During training the folder contains

    state.safetensors   where the training is; a killed training resumes from it, with the same losses
    best.safetensors    weights of the best epoch so far
    epochs/0007.safetensors   weights of the last epochs, for their average
    metrics.jsonl       one line per epoch
    tensorboard/        the same for TensorBoard
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avs.core.errors import ConfigError, DataError
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.models.losses import Blocks
from avs.models.retrieval import RetrievalModel
from avs.train.data import PairBatch, Pairs, ahead
from avs.train.distributed import Workers
from avs.train.gradient_caching import backward_in_chunks
from avs.train.moving_average import MovingAverage
from avs.train.optimisers import make_optimiser
from avs.train.record import Record
from avs.train.sampler import EpochSampler
from avs.train.schedules import make_schedule
from avs.train.settings import Settings
from avs.train.state import Progress, Training
from avs.train.teaching import Teaching
from avs.train.weights import average_weights, read_weights, write_weights

STATE = "state.safetensors"
Validate = Callable[[RetrievalModel], Mapping[str, float]]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The result of a training.

    Attributes:
        best: weights of the best epoch; `best_epoch` is its number from 1, `measures` its validation.
        average: mean of the last epochs' weights; None if the settings ask for none.
        averaged: number of epochs in that mean.
        epochs: number of epochs trained.
        seconds: duration of the training, validation included.
        data_share: share of the epochs' time spent waiting for data.
    """

    best: dict[str, Tensor]
    best_epoch: int
    measures: dict[str, float]
    average: dict[str, Tensor] | None
    averaged: int
    epochs: int
    seconds: float
    data_share: float


class TrainingLoop:
    """Trains a model on pairs of captions and videos.

    Args:
        model: the model, already on `device`.
        pairs: pairs to train on.
        validate: gives the measures of the model; the first worker calls it after every epoch, in eval mode.
        measure: the measure that decides which epoch is best; larger is better.
        settings: optimiser, schedule, stopping, precision.
        folder: folder of the files above.
        fingerprint: fingerprint of everything that decides the result; a state with another one is refused.
        device: device of the model.
        workers: processes that train together.
        reporter: reports progress.
        teaching: what teachers say of a batch, for a model whose loss takes `lessons`.
    """

    def __init__(
        self,
        model: RetrievalModel,
        pairs: Pairs,
        validate: Validate,
        *,
        measure: str,
        settings: Settings,
        folder: Path,
        fingerprint: str,
        device: str = "cpu",
        workers: Workers | None = None,
        reporter: Reporter | None = None,
        teaching: Teaching | None = None,
    ) -> None:
        self.model, self.pairs, self.validate, self.measure = model, pairs, validate, measure
        self.settings, self.folder, self.fingerprint, self.device = settings, Path(folder), fingerprint, device
        self.workers, self.reporter = workers or Workers(), reporter or Reporter()
        self.teaching = teaching
        self.optimiser = make_optimiser(model, settings)
        self.scaler = torch.amp.GradScaler(device.partition(":")[0], enabled=settings.precision == "float16")
        self.sampler = EpochSampler(
            len(pairs),
            settings.batch_size,
            seed=settings.seed,
            rank=self.workers.rank,
            workers=self.workers.count,
        )
        self.average = MovingAverage(model, settings.ema) if settings.ema else None
        self.record = Record(self.folder, write=self.workers.first)
        if settings.chunk:
            _require_no_batch_statistics(model)

    def run(self) -> Trained:
        """Train to the end, from the start or from the saved state.

        Raises:
            DataError: the loss is not a number; names the batch.
            ChangedInputsError: the folder contains another training.
        """
        settings, schedule = self.settings, make_schedule(self.settings, steps_per_epoch=len(self.sampler))
        progress = self._moving_parts().load(self.folder / STATE, self.fingerprint, schedule)
        if progress is None:
            progress = Progress(schedule)
        else:
            done = f"{progress.epoch} epochs and {progress.step} steps"
            self.reporter.say(f"resuming {self.folder} after {done}")
        self.record.keep_epochs(progress.epoch)
        try:
            while progress.epoch < settings.epochs and progress.since_best < settings.patience:
                self._epoch(progress)
                self._judge(progress)
                self._save(progress)
        finally:
            self.record.close()
        self.workers.wait()
        return self._result(progress)

    def _epoch(self, progress: Progress) -> None:
        """Do the remaining steps of an epoch."""
        epoch = progress.epoch
        if progress.step == 0:  # otherwise the random state was restored
            torch.manual_seed(hash((self.settings.seed, epoch, self.workers.rank)) % 2**63)
        self.model.train()
        self.model.start_epoch(epoch)
        batches = ahead(map(partial(self.pairs.batch, epoch=epoch), self.sampler.batches(epoch, first=progress.step)))
        start = saved = time.perf_counter()
        with self.reporter.stage(f"epoch {epoch + 1}", len(self.sampler), "steps") as stage:
            stage.advance(progress.step)
            while True:
                before = time.perf_counter()
                batch = next(batches, None)
                progress.waited_s += time.perf_counter() - before
                if batch is None:
                    break
                for group in self.optimiser.param_groups:
                    group["lr"] = self._rate(progress, progress.step) * group["factor"]
                progress.losses.append(self.step(batch, epoch, progress.step))
                progress.step += 1
                stage.advance()
                now = time.perf_counter()
                if self.workers.agree(now - saved > self.settings.save_every_s, device=self.device):
                    progress.seconds, start, saved = progress.seconds + now - start, now, now
                    self._save(progress)
        progress.seconds += time.perf_counter() - start

    def _rate(self, progress: Progress, step: int) -> float:
        """The learning rate of a step of the current epoch."""
        return progress.schedule.rate_of(progress.epoch * len(self.sampler) + step)

    def step(self, batch: PairBatch, epoch: int, step: int) -> float:
        """Update the weights once.

        Returns:
            The loss of the whole batch.
        """
        model, workers, settings = self.model, self.workers, self.settings
        self.optimiser.zero_grad(set_to_none=True)
        value = float(self._backward(batch))
        if not math.isfinite(value):
            self._stop(batch, f"the loss is {value}", epoch, step)
        workers.add_gradients(model.parameters())
        if not settings.legacy:
            self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        if not self.scaler.is_enabled() and not torch.isfinite(norm):
            self._stop(batch, f"the gradient's norm is {float(norm)}", epoch, step)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        model.after_step()
        if self.average is not None:
            self.average.update(model)
        return value

    def _backward(self, batch: PairBatch) -> Tensor:
        """Differentiate the loss of the whole batch, with the negatives of all workers. Returns the loss."""
        workers = self.workers
        video_of = workers.gather(batch.video_of.to(self.device, non_blocking=True))
        known: dict[str, Any] = {}
        if batch.block_of is not None:
            middle = batch.block_of == torch.from_numpy(batch.captions)
            block_of, middle = (workers.gather(rows.to(self.device)) for rows in (batch.block_of, middle))
            known["blocks"] = Blocks(block_of, middle)
        if self.teaching is not None:
            with self._autocast():
                known["lessons"] = self.teaching.lessons(batch, workers, self.device)

        def loss_of(texts: Tensor, videos: Tensor) -> Tensor:
            return self.model.loss(workers.gather(texts), workers.gather(videos), video_of=video_of, **known)

        def scale(loss: Tensor) -> Tensor:
            return self.scaler.scale(workers.share_of_loss(loss))

        if self.settings.chunk:
            chunk = self.settings.chunk
            return backward_in_chunks(batch, self._embed, loss_of, chunk=chunk, device=self.device, scale=scale)
        texts, videos = self._embed(batch)
        loss = loss_of(texts.float(), videos.float())
        torch.autograd.backward(scale(loss))
        return loss.detach()

    def _embed(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """(B, E) embeddings of this worker's texts and videos."""
        with self._autocast():
            texts = self.model.embed_texts(batch.texts.to(self.device))
            return texts, self.model.embed_videos(batch.videos.to(self.device))

    def _autocast(self) -> AbstractContextManager[object]:
        if self.settings.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=getattr(torch, self.settings.precision))

    def _stop(self, batch: PairBatch, what: str, epoch: int, step: int) -> None:
        ids = [self.pairs.ids[i] for i in batch.captions.tolist()]
        raise DataError(
            f"training stopped: {what}",
            where=f"epoch {epoch + 1}, step {step + 1} of {len(self.sampler)}",
            got=f"captions {some(ids, shown=8)}",
            next_step="check the features of these captions' videos for infinite values, or lower the learning rate",
        )

    def _judge(self, progress: Progress) -> None:
        """End an epoch: validate, keep the weights, set the next learning rate."""
        start = time.perf_counter()
        self.workers.average_buffers(self.model)
        measures: dict[str, float] = {}
        with nullcontext() if self.average is None else self.average.in_place(self.model):
            if self.workers.first:
                self.model.eval()
                with torch.inference_mode():
                    measures = dict(self.validate(self.model))
            measures = self.workers.from_first(measures)
            value, rate = measures[self.measure], self._rate(progress, progress.step - 1)
            improved = progress.best_epoch < 0 or value > progress.best[self.measure]
            if self.workers.first:
                self._keep_weights(progress.epoch + 1, best=improved)
        loss = sum(progress.losses) / len(progress.losses)
        if improved:
            progress.best, progress.best_epoch, progress.since_best = measures, progress.epoch, 0
        else:
            progress.since_best += 1
        progress.schedule.end_epoch(value)
        progress.epoch, progress.step, progress.losses = progress.epoch + 1, 0, []
        progress.seconds += time.perf_counter() - start
        if self.workers.first:
            self.record.add(progress, loss=loss, rate=rate, measures=measures)
        shown = "  ".join(f"{name} {number:.4f}" for name, number in measures.items())
        mark = "  best" if improved else ""
        self.reporter.say(f"epoch {progress.epoch:<3} loss {loss:<9.4f} {shown}{mark}")

    def _keep_weights(self, epoch: int, *, best: bool) -> None:
        if best:
            write_weights(self.folder / "best.safetensors", self.model.state_dict())
        if self.settings.average_last:
            write_weights(self._epoch_path(epoch), self.model.state_dict())
            self._epoch_path(epoch - self.settings.average_last).unlink(missing_ok=True)

    def _epoch_path(self, epoch: int) -> Path:
        return self.folder / "epochs" / f"{epoch:04d}.safetensors"

    def _moving_parts(self) -> Training:
        return Training(self.model, self.optimiser, self.scaler, self.average, self.device, self.workers)

    def _save(self, progress: Progress) -> None:
        self._moving_parts().save(self.folder / STATE, self.fingerprint, progress)

    def _result(self, progress: Progress) -> Trained:
        count = min(self.settings.average_last, progress.epoch)
        chosen = range(progress.epoch - (1 if self.settings.legacy else count) + 1, progress.epoch + 1)
        average = average_weights([self._epoch_path(epoch) for epoch in chosen]) if count else None
        return Trained(
            best=read_weights(self.folder / "best.safetensors"),
            best_epoch=progress.best_epoch + 1,
            measures=progress.best,
            average=average,
            averaged=count,
            epochs=progress.epoch,
            seconds=progress.seconds,
            data_share=progress.waited_s / max(progress.seconds, 1e-9),
        )

    def clean(self) -> None:
        """Delete the files that only an unfinished training needs."""
        for name in (STATE, "best.safetensors"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "epochs", ignore_errors=True)


def _require_no_batch_statistics(model: nn.Module) -> None:
    """Check that no row of a batch depends on the others."""
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if norms:
        raise ConfigError(
            "`chunk` and batch normalisation do not go together: its statistics would be those of a chunk",
            got=some(norms),
            next_step="leave `chunk` out, or train a model without batch normalisation",
        )
