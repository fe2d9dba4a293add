"""A recipe into a trained model: collections opened, features built, the loop run, checkpoints written.

What stands in the output folder in the end:

    best/, average/   checkpoints: the best epoch, and the mean of the last epochs' weights
    pretrained/       the same of the pre-training, where there was one
    metrics.jsonl, tensorboard/, curve.png
    manifest.json     written last
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from avs.core.artifacts import Manifest, is_up_to_date, write_manifest
from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.features.text import TextFeature, text_feature_from_json, text_feature_name
from avs.models.architectures import config_to_json, get_architecture, make_config, make_model
from avs.pipeline.train import validation
from avs.pipeline.train.recipe import TrainRecipe
from avs.pipeline.train.tables import Opened, Tables, captions_of, judged_inputs, make_tables, open_collections
from avs.pipeline.train.texts import build_text_features, default_text, model_inputs, set_initial_words, text_inputs
from avs.train.attention import mean_attention
from avs.train.checkpoint import CHECKPOINT_TYPE, TRAINING_TYPE, Checkpoint, read_checkpoint, write_checkpoint
from avs.train.distributed import Workers
from avs.train.loop import Trained, Trainer
from avs.train.record import draw_curve


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how it runs, which does not decide what comes out.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        text_cache: folder for the vectors of captions.
        workers: that train together.
        reporter: of progress.
        force: replace what was made from other inputs.
    """

    device: str
    text_cache: Path
    workers: Workers
    reporter: Reporter
    force: bool = False


def train(recipe: TrainRecipe, out: Path, runtime: Runtime, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Train the model of a recipe without a grid, after its pre-training.

    Args:
        without: videos that must not be trained on.

    Returns:
        A summary: folder, measures, epochs, seconds; of one that stood there already, "up_to_date".

    Raises:
        AvsError: anything wrong with the data or the recipe, before training begins; a loss that is not a number.
    """
    start = recipe.start_from
    if recipe.pretrain:
        start = out / "pretrained"
        held = open_collections(recipe, None).held
        before = recipe.model_copy(update={"train": recipe.pretrain, "pretrain": []})
        train(before, start, runtime, without=frozenset(held.captions.videos) if held else frozenset())
    found = read_checkpoint(start) if start else None
    if found and not recipe.pretrain:
        require_same_model(recipe, found)
    if recipe.training.precision == "float16" and not runtime.device.startswith("cuda"):
        raise ConfigError("float16 is for CUDA", got=f"--device {runtime.device}", wanted="float32 or bfloat16")
    task = _Task(recipe, out, runtime, found, without)
    if is_up_to_date(out, task.manifest, force=runtime.force, reporter=runtime.reporter):
        return {"path": str(out), "up_to_date": True}
    if runtime.force and runtime.workers.first:
        _discard(out)
    runtime.workers.wait()
    return task.run()


class _Task:
    """One training: everything opened and checked when it is made, the work done in `run`."""

    def __init__(
        self, recipe: TrainRecipe, out: Path, runtime: Runtime, start: Checkpoint | None, without: frozenset[str]
    ) -> None:
        self.recipe, self.out, self.runtime, self.start = recipe, out, runtime, start
        self.architecture = start.architecture if start else recipe.architecture
        self.opened: Opened = open_collections(recipe, start, without=without)
        self.text = recipe.text if recipe.text is not None else default_text(self.opened.specs, self.architecture)
        self.manifest = self._manifest()

    def _manifest(self) -> Manifest:
        inputs = {**self.opened.inputs, **judged_inputs(self.recipe.validation)}
        if self.start:
            inputs["start"] = self.start.fingerprint
        else:
            inputs |= text_inputs(self.text, self.opened.specs)
        config = self.recipe.model_dump(mode="json", exclude={"grid", "collections", "start_from"})
        paths = {**self.opened.paths, **({"start": self.start.folder} if self.start else {})}
        return Manifest(type=TRAINING_TYPE, config=config, inputs=inputs, paths=paths)

    def run(self) -> dict[str, Any]:
        runtime, recipe = self.runtime, self.recipe
        features = self._text_features()
        tables = self._tables(features)
        torch.manual_seed(recipe.training.seed)
        config = self._config(features)
        model = self._model(config, features)
        self._say(tables, features, model)
        held = tables.held
        trainer = Trainer(
            model.to(runtime.device),
            tables.pairs,
            held.validator(runtime.device),
            measure=held.measure,
            settings=replace(recipe.training, legacy=recipe.legacy or recipe.training.legacy),
            folder=self.out,
            fingerprint=self.manifest.fingerprint,
            device=runtime.device,
            workers=runtime.workers,
            reporter=runtime.reporter,
        )
        trained = trainer.run()
        if runtime.workers.first:
            self._write(trained, model, config, features, held)
            trainer.clean()
        runtime.workers.wait()
        return self._summary(trained, held.measure)

    def _text_features(self) -> list[TextFeature]:
        device = self.runtime.device
        if self.start:
            return [text_feature_from_json(data, device=device) for data in self.start.text_features]
        return build_text_features(
            self.text, captions_of(self.opened), self.opened.specs, legacy=self.recipe.legacy, device=device
        )

    def _tables(self, features: Sequence[TextFeature]) -> Tables:
        """The first worker encodes the captions; the others wait and read what it kept."""
        workers = self.runtime.workers
        if not workers.first:
            workers.wait()
        tables = make_tables(self.recipe, self.opened, features, cache=self.runtime.text_cache)
        if workers.first:
            workers.wait()
        return tables

    def _config(self, features: Sequence[TextFeature]) -> Any:
        if self.start:
            return make_config(self.start.architecture, self.start.config)
        options = {key: value for key, value in self.recipe.model.items() if key != "architecture"}
        dims = {name: spec.dim for name, spec in self.opened.specs.items()}
        video = {
            "video": {name: dim for name, dim in dims.items() if not name.endswith("/frame")},
            "video_frames": {name: dim for name, dim in dims.items() if name.endswith("/frame")},
        }
        if self.recipe.legacy and "legacy" in get_architecture(self.architecture).options:
            options["legacy"] = True
        return make_config(self.architecture, {**video, **model_inputs(features), **options})

    def _model(self, config: Any, features: Sequence[TextFeature]) -> nn.Module:
        model = make_model(self.architecture, config)
        if self.start:
            model.load_state_dict(self.start.load_model().state_dict())
        else:
            set_initial_words(model, self.text, features)
        if self.runtime.workers.count > 1 and self.runtime.device.startswith("cuda"):
            return nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model

    def _say(self, tables: Tables, features: Sequence[TextFeature], model: nn.Module) -> None:
        say, pairs, held = self.runtime.reporter.say, tables.pairs, tables.held
        names = ", ".join(collection.name for collection in self.opened.train)
        say(f"train on {len(pairs)} captions of {len(pairs.videos)} videos ({names})")
        say(f"validate on {len(held.texts)} texts against {len(held.videos)} videos, by {held.measure}")
        say(f"video: {', '.join(self.opened.specs)}; text: {', '.join(feature.name for feature in features)}")
        if tables.left_out:
            said = ", ".join(tables.left_out[:5])
            say(f"left out {len(tables.left_out)} captions of which no text feature knows a word: {said}")
        for name, rows in pairs.videos.rows.items():
            lacking = int((rows < 0).sum())
            if lacking:
                say(f"{lacking} of {len(rows)} videos lack {name}; it is left out for them")
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        say(f"{self.architecture}: {millions:.1f} M parameters")

    def _write(
        self, trained: Trained, model: nn.Module, config: Any, features: Sequence[TextFeature], held: validation.Held
    ) -> None:
        """The curve, the checkpoints, and the manifest that completes the training."""
        draw_curve(self.out, held.measure)
        validate = held.validator(self.runtime.device)
        chosen = [("best", trained.best, trained.best_epoch, 1)]
        if trained.average is not None:
            chosen.append(("average", trained.average, trained.epochs, trained.averaged))
        for name, weights, epoch, epochs in chosen:
            model.load_state_dict(weights)
            model.eval()
            measures = trained.measures if name == "best" else dict(validate(model))
            checkpoint = Checkpoint(
                architecture=self.architecture,
                config=config_to_json(config),
                video_features=self.opened.specs,
                text_features=[feature.to_json() for feature in features],
                epoch=epoch,
                measures=measures,
                validation=held.said,
                selected_on=self.opened.held.captions.videos if self.opened.held else (),
                attention=mean_attention(model, held.texts, held.videos, device=self.runtime.device),
                folder=self.out / name,
            )
            settings = {**self.manifest.config, "weights": name, "epochs": epochs}
            made_from = {**self.manifest.inputs, "training": self.manifest.fingerprint}
            paths = {**self.manifest.paths, "training": self.out}
            manifest = Manifest(type=CHECKPOINT_TYPE, config=settings, inputs=made_from, paths=paths)
            write_checkpoint(checkpoint, model.state_dict(), manifest)
        counts = {"epochs": trained.epochs, "best_epoch": trained.best_epoch, **trained.measures}
        write_manifest(self.out, replace(self.manifest, counts=counts, seconds=trained.seconds))

    def _summary(self, trained: Trained, measure: str) -> dict[str, Any]:
        best, waited = trained.measures[measure], trained.data_share
        self.runtime.reporter.say(
            f"wrote {self.out}: best {measure} {best:.4f} at epoch {trained.best_epoch} of {trained.epochs}, "
            f"{trained.seconds:.0f} s, {waited:.1%} of it waiting for data"
        )
        return {
            "path": str(self.out),
            "measures": trained.measures,
            "best_epoch": trained.best_epoch,
            "epochs": trained.epochs,
            "seconds": round(trained.seconds, 1),
            "data_share": round(waited, 4),
        }


def require_same_model(recipe: TrainRecipe, start: Checkpoint) -> None:
    """Check that a recipe asks for no other model than the one it starts from.

    Raises:
        ConfigError: another architecture, options or text features; a checkpoint has its own.
    """
    asked = {key: value for key, value in recipe.model.items() if start.config.get(key, recipe.architecture) != value}
    if recipe.architecture != start.architecture:
        asked["architecture"] = recipe.architecture
    if recipe.text is not None:
        asked["text"] = ", ".join(text_feature_name(option) for option in recipe.text)
    if recipe.legacy and not start.config.get("legacy"):
        asked["legacy"] = True
    if asked:
        raise ConfigError(
            "a model that is fine-tuned keeps its architecture, options and text features",
            where=start.folder,
            got=", ".join(f"{key}: {value}" for key, value in asked.items()),
            wanted=f"architecture: {start.architecture}, and none of the others",
            next_step="leave these out, or train a new model",
        )


def _discard(out: Path) -> None:
    """Make what stands in `out` incomplete, and forget an unfinished training."""
    for name in ("manifest.json", "state.safetensors", "best.safetensors", "metrics.jsonl", "curve.png"):
        (out / name).unlink(missing_ok=True)
    for name in ("epochs", "tensorboard", "best", "average"):
        shutil.rmtree(out / name, ignore_errors=True)
