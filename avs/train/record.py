"""The record of a training: one JSON line per epoch, the same for TensorBoard, and a curve."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avs.core.artifacts import atomic_write
from avs.core.errors import FormatError
from avs.core.text_files import read_text
from avs.train.state import AGAIN, Progress


class Record:
    """Writes `metrics.jsonl` and `tensorboard/` in a folder.

    Args:
        folder: folder of the training.
        write: whether to write anything; only the first worker does.
    """

    def __init__(self, folder: Path, *, write: bool = True) -> None:
        self.folder, self.write = folder, write
        self.path = folder / "metrics.jsonl"
        self._board: Any = None

    def keep_epochs(self, count: int) -> None:
        """Delete the lines after the first `count` epochs, which a killed training can leave behind."""
        if not self.write or not self.path.is_file():
            return
        rows = [row for row in read_metrics(self.folder) if row["epoch"] <= count]
        with atomic_write(self.path) as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    def add(self, progress: Progress, *, loss: float, rate: float, measures: Mapping[str, float]) -> None:
        """Write a finished epoch: its mean loss per step, learning rate and validation."""
        if not self.write:
            return
        row = {
            "epoch": progress.epoch,
            "loss": loss,
            "learning_rate": rate,
            **measures,
            "best_epoch": progress.best_epoch + 1,
            "seconds": round(progress.seconds, 3),
            "data_share": round(progress.waited_s / max(progress.seconds, 1e-9), 4),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        board = self._tensorboard()
        for name in ("loss", "learning_rate", *measures):
            board.add_scalar(name, row[name], progress.epoch)

    def close(self) -> None:
        """Close the TensorBoard file."""
        if self._board is not None:
            self._board.close()

    def _tensorboard(self) -> Any:
        if self._board is None:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"))
        return self._board


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a training's `metrics.jsonl`, one per epoch. A last line that was cut short is left out.

    Raises:
        FormatError: a line is damaged.
    """
    path, rows = folder / "metrics.jsonl", []
    lines = read_text(path, next_step=AGAIN).splitlines()
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("}"):
            break
        try:
            rows.append({**json.loads(line)})
            rows[-1]["epoch"], rows[-1]["loss"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            got = f"{type(error).__name__}: {error}"
            where = f"{path}:{number}"
            raise FormatError("not an epoch of a training", where=where, got=got, next_step=AGAIN) from error
    return rows


def draw_curve(folder: Path, measure: str) -> Path:
    """Draw `curve.png`: loss and validation measure over the epochs. The best epoch is marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rows = read_metrics(folder)
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    right = left.twinx()
    left.plot(epochs, [row["loss"] for row in rows], color="tab:gray", label="training loss")
    right.plot(epochs, [row[measure] for row in rows], color="tab:blue", marker=".", label=f"validation {measure}")
    best = max(rows, key=lambda row: row[measure])
    right.plot(best["epoch"], best[measure], "o", color="tab:red", label=f"best {best[measure]:.4f}")
    left.set(xlabel="epoch", ylabel="loss per step", title=folder.name)
    left.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    right.set_ylabel(measure)
    lines = [*left.get_lines(), *right.get_lines()]
    left.legend(lines, [str(line.get_label()) for line in lines], loc="center right")
    path = folder / "curve.png"
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png")
    return path
