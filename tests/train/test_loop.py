from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import started
from safetensors.torch import save_file
from tiny_pairs import tiny_model, tiny_pairs
from tiny_training import SETTINGS, losses, measure_on, trainer

from avs.core.columns import VectorColumn
from avs.core.errors import ChangedInputsError, DataError, FormatError
from avs.core.progress import Reporter
from avs.models.architectures import architectures
from avs.train.data import FeatureTable, Pairs
from avs.train.distributed import Workers
from avs.train.loop import Trained
from avs.train.record import draw_curve, read_metrics
from avs.train.settings import Settings
from avs.train.weights import read_tensors, read_weights, write_tensors


def test_a_model_learns_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    found: Trained = trainer(tmp_path, replace(SETTINGS, epochs=25)).run()
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert found.measures["MRR"] > 0.5  # at random, 30 videos give 0.13
    assert found.measures["MRR"] == max(row["MRR"] for row in rows)
    assert rows[found.best_epoch - 1]["MRR"] == found.measures["MRR"]
    assert 0 < found.data_share < 1
    model = tiny_model(seed=3)
    model.load_state_dict(found.best)
    model.eval()
    assert measure_on(tiny_pairs())(model)["MRR"] == pytest.approx(found.measures["MRR"])


def test_the_losses_of_a_laff_are_those_of_earlier_versions(tmp_path: Path) -> None:
    """On the machine that made these figures, to the last digit; elsewhere, products round otherwise."""
    trainer(tmp_path, replace(SETTINGS, epochs=3), model=tiny_model(dropout=0.2)).run()
    assert losses(tmp_path) == pytest.approx([21.519411245981853, 17.92083470026652, 15.799012104670206], rel=1e-4)


def test_training_stops_when_validation_does(tmp_path: Path) -> None:
    values = iter([0.3, 0.5, *[0.4] * 20])
    found = trainer(
        tmp_path, replace(SETTINGS, epochs=20, patience=3), validate=lambda model: {"MRR": next(values)}
    ).run()
    assert (found.best_epoch, found.epochs) == (2, 5)  # 3 epochs without a new best


@pytest.mark.parametrize(("architecture", "epochs"), [("laff", 11), ("dual-encoding", 12)])
def test_the_authors_stop_11_and_12_epochs_after_a_best_in_the_first(
    tmp_path: Path, architecture: str, epochs: int
) -> None:
    values = iter([0.5, *[0.4] * 20])
    patience = Settings(**architectures.get(architecture).recipe.get("training", {})).patience
    settings = replace(SETTINGS, epochs=20, patience=patience)
    assert trainer(tmp_path, settings, validate=lambda model: {"MRR": next(values)}).run().epochs == epochs


def test_gradients_are_clipped_to_the_norm_together(tmp_path: Path) -> None:
    norms = {}
    for clip in (1e-3, 1e9):
        run = trainer(tmp_path / str(clip), replace(SETTINGS, clip_norm=clip))
        run.step(next(map(run.pairs.batch, run.sampler.batches(0))), 0, 0)
        gradients = [p.grad.flatten() for p in run.model.parameters() if p.grad is not None]
        norms[clip] = float(torch.cat(gradients).norm())
    assert norms[1e-3] == pytest.approx(1e-3, rel=1e-3)
    assert norms[1e9] > 0.1


def test_every_epoch_has_random_numbers_of_its_own_and_a_training_repeats_them(tmp_path: Path) -> None:
    seeds: dict[str, list[int]] = {}
    for name in ("one", "other"):
        model, found = tiny_model(), seeds.setdefault(name, [])
        model.start_epoch = lambda epoch, found=found: found.append(torch.initial_seed())  # type: ignore[method-assign]
        trainer(tmp_path / name, replace(SETTINGS, epochs=4), model=model).run()
    assert len(set(seeds["one"])) == 4
    assert seeds["one"] == seeds["other"]


class Scaler:
    """A gradient scaler that records what it is asked for."""

    def __init__(self, scale: float = 4.0) -> None:
        self.calls: list[str] = []
        self.found = {"scale": scale}

    def is_enabled(self) -> bool:
        return False

    def scale(self, loss: torch.Tensor) -> torch.Tensor:
        self.calls.append("scale")
        return loss

    def unscale_(self, optimiser: torch.optim.Optimizer) -> None:
        self.calls.append("unscale")

    def step(self, optimiser: torch.optim.Optimizer) -> None:
        self.calls.append("step")
        optimiser.step()

    def update(self) -> None:
        self.calls.append("update")

    def state_dict(self) -> dict[str, float]:
        return self.found

    def load_state_dict(self, found: dict[str, float]) -> None:
        self.found = found


@pytest.mark.parametrize("legacy", [False, True])
def test_scaled_gradients(tmp_path: Path, legacy: bool) -> None:
    run = trainer(tmp_path, replace(SETTINGS, epochs=1, legacy=legacy))
    run.scaler = Scaler(scale=1024.0)
    run.run()
    once = ["scale", "step", "update"] if legacy else ["scale", "unscale", "step", "update"]
    assert run.scaler.calls == once * len(run.sampler)
    again = trainer(tmp_path, replace(SETTINGS, epochs=1, legacy=legacy))
    again.scaler = Scaler()
    again.run()
    assert again.scaler.found == {"scale": 1024.0}  # resumed from the saved state


class Killed(Exception):
    pass


@pytest.mark.parametrize("when", [4, 15, 23])
def test_a_killed_training_goes_on_to_the_same_losses_and_weights(tmp_path: Path, when: int) -> None:
    whole = trainer(tmp_path / "whole").run()
    settings = replace(SETTINGS, save_every_s=0.0)  # after every step
    pairs, steps = tiny_pairs(), 0
    model = tiny_model()
    loss = model.loss

    def fragile(*args: object, **kwargs: object) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == when:
            raise Killed
        return loss(*args, **kwargs)

    model.loss = fragile
    with pytest.raises(Killed):
        trainer(tmp_path / "cut", settings, pairs=pairs, model=model).run()
    resumed = trainer(tmp_path / "cut", settings, model=tiny_model(seed=99)).run()
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert resumed.measures == whole.measures
    for name, tensor in whole.best.items():
        assert torch.equal(resumed.best[name], tensor), name
    assert resumed.average is not None and whole.average is not None
    for name, tensor in whole.average.items():
        assert torch.equal(resumed.average[name], tensor), name


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path, replace(SETTINGS, epochs=1)).run()
    other = trainer(tmp_path)
    other.fingerprint = "another"
    with pytest.raises(ChangedInputsError, match="an unfinished training with other inputs or settings is here"):
        other.run()


def flip(place: float, *, bits: int = 4):
    """Flip bits of the byte at a share of a file."""

    def damage(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(place * len(data))] ^= bits
        path.write_bytes(data)

    return damage


def change_header(**changes: object):
    """Write the state with another header, and the hash of that."""

    def damage(path: Path) -> None:
        tensors, texts = read_tensors(path)
        write_tensors(path, tensors, {"state": json.dumps({**json.loads(texts["state"]), **changes})})

    return damage


@pytest.mark.parametrize("name", ["state.safetensors", "best.safetensors", "epochs/0002.safetensors"])
@pytest.mark.parametrize("place", [0.0, 0.02, 0.3, 0.6, 0.9, 0.9999])
def test_a_flipped_bit_in_what_a_training_resumes_from_is_told(tmp_path: Path, name: str, place: float) -> None:
    """Every epoch's best is the first one's, so that no file is written again before it is read."""
    best = {"validate": lambda model: {"MRR": 1.0}}
    trainer(tmp_path, replace(SETTINGS, epochs=2), **best).run()
    flip(place)(tmp_path / name)
    with pytest.raises(FormatError) as caught:
        trainer(tmp_path, replace(SETTINGS, epochs=3), **best).run()
    assert caught.value.where == tmp_path / name and "--force" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"") and None, "not a safetensors file, or damaged"),
        (lambda path: os.truncate(path, 2000), "not a safetensors file, or damaged"),
        (lambda path: write_tensors(path, read_tensors(path)[0]), "KeyError: 'state'"),
        (lambda path: write_tensors(path, {}, read_tensors(path)[1]), "Missing key"),
        (change_header(progress={"schedule": {}}), "TypeError"),
        (change_header(progress=3), "TypeError"),
        (change_header(optimiser=[]), "AttributeError"),
    ],
)
def test_a_damaged_state_is_named(tmp_path: Path, damage, said: str) -> None:
    trainer(tmp_path, replace(SETTINGS, epochs=1)).run()
    path = tmp_path / "state.safetensors"
    damage(path)
    with pytest.raises(FormatError) as caught:
        trainer(tmp_path).run()
    assert caught.value.where == path and said in str(caught.value)
    assert caught.value.next_step == "start the training over with --force"


def test_a_state_without_a_hash_is_resumed(tmp_path: Path) -> None:
    """An older avs wrote none."""
    trainer(tmp_path, replace(SETTINGS, epochs=1)).run()
    path = tmp_path / "state.safetensors"
    tensors, texts = read_tensors(path)
    save_file(tensors, path, metadata=texts)
    trainer(tmp_path, replace(SETTINGS, epochs=2)).run()
    assert [row["epoch"] for row in read_metrics(tmp_path)] == [1, 2]


@pytest.mark.parametrize("line", ['{"epoch": 1, loss: 2}', '{"epoch": 1}', '{"a": {}}', "[{}]"])
def test_a_damaged_record_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"epoch": 1, "loss": 2.0}\n' + line + '\n{"epoch": 2')
    with pytest.raises(FormatError, match="not an epoch of a training") as caught:
        read_metrics(tmp_path)
    assert caught.value.where == f"{tmp_path / 'metrics.jsonl'}:2"


def test_the_average_is_of_the_last_epochs_and_not_of_live_tensors(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    found = run.run()
    paths = sorted((tmp_path / "epochs").iterdir())
    assert [path.name for path in paths] == ["0004.safetensors", "0005.safetensors", "0006.safetensors"]
    weights = [read_weights(path)["video.attention"] for path in paths]
    assert not torch.equal(weights[0], weights[2])
    assert found.average is not None
    torch.testing.assert_close(found.average["video.attention"], sum(weights) / 3)
    legacy = trainer(tmp_path / "legacy", replace(SETTINGS, legacy=True)).run()
    last = read_weights(tmp_path / "legacy" / "epochs" / "0006.safetensors")
    assert legacy.average is not None and torch.equal(legacy.average["video.attention"], last["video.attention"])


def test_a_loss_that_is_not_a_number_stops_and_names_the_batch(tmp_path: Path) -> None:
    pairs = tiny_pairs()
    broken = pairs.videos.columns["a"].values.copy()
    broken[5] = np.nan
    videos = FeatureTable({**pairs.videos.columns, "a": VectorColumn(broken)}, pairs.videos.rows)
    with pytest.raises(DataError) as stopped:
        trainer(tmp_path, pairs=Pairs(pairs.ids, pairs.texts, videos, pairs.video_of)).run()
    assert stopped.value.what == "training stopped: the loss is nan"
    assert stopped.value.where.startswith("epoch 1, step ")
    assert "v5#" in stopped.value.got or "more" in stopped.value.got


def test_the_records_are_whole(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    rows = read_metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[1]["learning_rate"] == pytest.approx(rows[0]["learning_rate"] * 0.99)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    picture = draw_curve(tmp_path, "MRR").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 5000


def test_an_epoch_written_after_the_last_saved_state_is_forgotten(tmp_path: Path) -> None:
    trainer(tmp_path, replace(SETTINGS, epochs=2)).run()
    with open(tmp_path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"epoch": 3, "loss": -1.0, "MRR": 1.0}) + "\n" + '{"epoch": 4, "lo')
    trainer(tmp_path, replace(SETTINGS, epochs=3)).run()
    rows = read_metrics(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[2]["loss"] > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_reduced_precision_learns_too(tmp_path: Path, precision: str) -> None:
    trainer(tmp_path, replace(SETTINGS, precision=precision, epochs=8)).run()
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss"] < rows[0]["loss"]


WORKER = """
import os, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import torch
torch.set_num_threads(1)
from dataclasses import replace
from tiny_training import SETTINGS, trainer
from tiny_pairs import tiny_model
from avs.train.distributed import workers_of_environment
with workers_of_environment("cpu") as (workers, _):
    settings = replace(SETTINGS, epochs=3, chunk={chunk!r}, save_every_s=0.0)
    loop = trainer(Path({folder!r}), settings, model=tiny_model(dropout={dropout!r}), workers=workers)
    step, done = loop.step, []
    def counted(*args):
        if len(done) == {die_at!r}:
            os._exit(9)
        done.append(1)
        return step(*args)
    loop.step = counted
    loop.run()
"""


def train_in_two(folder: Path, *, chunk: int | None = None, dropout: float = 0.0, die_at: int = -1) -> None:
    """Train in two processes, which die before a step, if asked to."""
    script = folder.with_name(f"{folder.name}.py")
    tests = str(Path(__file__).parents[1])
    script.write_text(WORKER.format(tests=tests, folder=str(folder), chunk=chunk, dropout=dropout, die_at=die_at))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    with ExitStack() as running:
        workers = [running.enter_context(started([script], env={**common, "RANK": str(rank)})) for rank in range(2)]
        said = "".join(process.communicate()[1] for process in workers)
        assert {process.returncode == 0 for process in workers} == {die_at < 0}, said


@pytest.mark.parametrize("chunk", [None, 3])
def test_two_workers_do_what_one_does_on_the_same_batches(tmp_path: Path, chunk: int | None) -> None:
    alone = trainer(tmp_path / "one", replace(SETTINGS, epochs=3), model=tiny_model(dropout=0.0)).run()
    train_in_two(tmp_path / "two", chunk=chunk)
    np.testing.assert_allclose(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-4)
    together = read_weights(tmp_path / "two" / "best.safetensors")
    for name, tensor in alone.best.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-3, atol=1e-5)


def test_two_workers_that_died_within_an_epoch_go_on_to_the_same_losses(tmp_path: Path) -> None:
    """Each with its own random numbers for dropout."""
    train_in_two(tmp_path / "whole", dropout=0.3)
    train_in_two(tmp_path / "cut", dropout=0.3, die_at=8)
    assert len(read_metrics(tmp_path / "cut")) == 1
    train_in_two(tmp_path / "cut", dropout=0.3)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


class Told(Workers):
    """The one worker of a training, which tells what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def average_buffers(self, model: torch.nn.Module) -> None:
        self.asked.append("average the running statistics")


def test_running_statistics_are_averaged_before_every_validation(tmp_path: Path) -> None:
    workers = Told()

    def validate(model: torch.nn.Module) -> dict[str, float]:
        workers.asked.append("validate")
        return {"MRR": 0.5}

    trainer(tmp_path, replace(SETTINGS, epochs=2), validate=validate, workers=workers).run()
    assert workers.asked == ["average the running statistics", "validate"] * 2


def test_a_training_that_goes_on_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer(tmp_path, replace(SETTINGS, epochs=2), reporter=Reporter(quiet=False)).run()
    assert "resuming" not in capsys.readouterr().err
    trainer(tmp_path, replace(SETTINGS, epochs=3), reporter=Reporter(quiet=False)).run()
    assert f"resuming {tmp_path} after 2 epochs and 0 steps\n" in capsys.readouterr().err
