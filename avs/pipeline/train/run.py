"""Train the models of a recipe: open its collections, build the features, run the loop, write the checkpoints.

The output folder of a model in the end:

    best/, average/   checkpoints: the best epoch, and the mean of the last epochs' weights
    pretrained/       the same for the pre-training, if there was one
    metrics.jsonl, tensorboard/, curve.png
    manifest.json     written last
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from avs.core.artifacts import Manifest, is_up_to_date, write_manifest
from avs.core.device import require_device
from avs.core.errors import typed
from avs.core.ids import some
from avs.core.list_files import model_name
from avs.core.lock import require_no_writer, sole_writer
from avs.core.progress import Reporter
from avs.core.spec import EmbedderSpec
from avs.features.text import TextFeature, parse_text_options, text_feature_from_json
from avs.features.text.clip_tokens import ClipTokens
from avs.models.architectures import INPUTS, architectures, config_to_json, make_config, make_model
from avs.models.retrieval import RetrievalModel
from avs.pipeline.train.backbone import feature_paths, own_frames_spec, require_own_tokens, save_backbone
from avs.pipeline.train.collection_recipe import FramesRecipe
from avs.pipeline.train.collections import remarks_of
from avs.pipeline.train.fine_tuning import require_raw_frames, require_same_model
from avs.pipeline.train.frames import CACHES, FrameFeature, open_grids
from avs.pipeline.train.opening import open_training, require_options, sampling_seen
from avs.pipeline.train.recipe import TrainRecipe
from avs.pipeline.train.tables import Tables, TrainingData, judged_inputs, make_tables, open_data, require_neighbours
from avs.pipeline.train.texts import build_text_features, default_text, model_inputs, set_initial_words, text_inputs
from avs.pipeline.train.validation import ValidationSet
from avs.train.attention import mean_attention
from avs.train.checkpoint import BACKBONE, CHECKPOINT_TYPE, TRAINING_TYPE, Checkpoint, read_checkpoint, write_checkpoint
from avs.train.data import FeatureTable
from avs.train.distributed import Workers, workers_of_environment
from avs.train.loop import Trained, TrainingLoop
from avs.train.record import draw_curve
from avs.train.teaching import TABLES, Taught, Teacher, Teaching, table_path, video_rows


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and how a training runs. It does not change the result.

    Attributes:
        device: "cpu", "cuda" or "cuda:N".
        text_cache: folder for the vectors of captions.
        frame_caches: folder for the frames of videos, where a recipe names no other.
        workers: processes that train together.
        reporter: reports progress.
        force: replace an output that was made from other inputs.
    """

    device: str
    text_cache: Path
    frame_caches: Path
    workers: Workers
    reporter: Reporter
    force: bool = False


def train_grid(
    grid: Mapping[str, TrainRecipe], folder: Path, *, device: str, reporter: Reporter, force: bool = False
) -> list[dict[str, Any]]:
    """Train the models of a grid, each in a folder of its name; "" is `folder` itself.

    Under `torchrun` every worker calls this; only the first reports.

    Returns:
        The summary of each model, as `train` gives it.

    Raises:
        AvsError: as `train`; an unknown device, or one that this machine does not have.
    """
    require_device(device, cuda_devices=torch.cuda.device_count)
    if len(grid) > 1:  # of a single model all that is wrong is told together
        require_options(grid)
    summaries = []
    with workers_of_environment(device) as (workers, device):
        reporter = reporter if workers.first else Reporter()
        runtime = Runtime(device, folder / ".text-features", folder / CACHES, workers, reporter, force)
        for number, (name, recipe) in enumerate(grid.items(), start=1):
            if name:
                reporter.say(f"\nmodel {number} of {len(grid)}: {name}")
            summaries.append(train(recipe, folder / name if name else folder, runtime))
        paths = [f"--checkpoint {typed(summary['path'])}" for summary in summaries[:3]]
        more = " ..." if len(summaries) > 3 else ""
        if any(recipe.reads_videos for recipe in grid.values()):
            models = " ".join(f"--model {typed(summary['path'])}" for summary in summaries[:3])
            reporter.suggest(f"avs extract-features --videos VIDEOS --shots SHOTS {models}{more} -o features/")
        else:
            reporter.suggest(f"avs search --topics TOPICS --store STORE ... {' '.join(paths)}{more} -o lists/")
    return summaries


def train(recipe: TrainRecipe, out: Path, runtime: Runtime, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Train the model of a recipe without a grid, after its pre-training.

    Args:
        without: videos that must not be trained on.

    Returns:
        A summary: folder, measures, epochs, seconds; if the model is there already, folder and "up_to_date".

    Raises:
        AvsError: anything wrong with the data or the recipe, before training begins; another process that trains into
            the same folder; a loss that is not a number.
    """
    start = recipe.start_from
    if recipe.pretrain:
        start = out / "pretrained"
        held_out = open_data(recipe, None).held_out
        before = recipe.model_copy(update={"train": recipe.pretrain, "pretrain": []})
        train(before, start, runtime, without=frozenset(held_out.captions.videos) if held_out else frozenset())
    checkpoint = read_checkpoint(start) if start else None
    if checkpoint and not recipe.pretrain:
        require_same_model(recipe, checkpoint)
    if checkpoint and recipe.reads_videos:
        require_raw_frames(checkpoint)
    task = _Task(recipe, out, runtime, checkpoint, without)
    if is_up_to_date(out, task.manifest, force=runtime.force, reporter=runtime.reporter):
        return {"path": str(out), "up_to_date": True}
    if runtime.workers.first:
        require_no_writer(out)
    if runtime.force and runtime.workers.first:
        _discard(out)
    runtime.workers.wait()
    return task.run()


class _Task:
    """One training. Its making opens and checks everything; `run` does the work."""

    def __init__(
        self, recipe: TrainRecipe, out: Path, runtime: Runtime, start: Checkpoint | None, without: frozenset[str]
    ) -> None:
        self.recipe, self.out, self.runtime, self.start = recipe, out, runtime, start
        self.architecture = start.architecture if start else recipe.architecture
        opened = open_training(recipe, start, without=without, device=runtime.device, reporter=runtime.reporter)
        self.data: TrainingData = opened.data
        self.backbone, self.teachers, self.remarks = opened.backbone, opened.teachers, opened.remarks
        self.text = recipe.text or self._default_text()
        self.manifest = self._manifest()

    def _default_text(self) -> list[Any]:
        if self.backbone:
            return parse_text_options([self.backbone.tokens(self.architecture, self.recipe.model)])
        return default_text(self.data.specs, bag_of_words=architectures.get(self.architecture).bag_of_words)

    def _manifest(self) -> Manifest:
        inputs = {**self.data.inputs, **judged_inputs(self.recipe.validation)}
        if self.start:
            inputs["start"] = self.start.fingerprint
        else:
            inputs |= text_inputs(self.text, self.data.specs)
            inputs |= {"backbone": self.backbone.spec.revision} if self.backbone else {}
        inputs |= {f"teacher {n}": one.fingerprint for n, one in enumerate(self.teachers, start=1)}
        undecisive: Any = {
            **dict.fromkeys(("grid", "collections", "start_from", "teachers", "other_frames", "frames"), True),
            "validation": {"videos", "shots", "video_ids", "most_pairs"},
        }
        config = self.recipe.model_dump(mode="json", exclude=undecisive)
        if self.recipe.reads_videos:
            config["frames"] = self.frames.config()
        paths = {**self.data.paths, **({"start": self.start.folder} if self.start else {})}
        paths |= {f"teacher {n}": one.folder for n, one in enumerate(self.teachers, start=1)}
        return Manifest(type=TRAINING_TYPE, config=config, inputs=inputs, paths=paths)

    @property
    def frames(self) -> FramesRecipe:
        """Which frames of videos are read."""
        return self.recipe.frames or FramesRecipe()

    @property
    def frames_name(self) -> str:
        """Name of the frames that the model reads: that of a frame-level store of its own backbone."""
        return f"{model_name(self.out)}/frame"

    def run(self) -> dict[str, Any]:
        runtime, recipe = self.runtime, self.recipe
        for line in (*remarks_of(self.data.all), *self.remarks):
            runtime.reporter.say(line)
        features = self._text_features()
        config = self._config(features)
        teachers: list[Any] = [checkpoint.load_model(runtime.device) for checkpoint in self.teachers]
        positives = getattr(config, "positives", 1)
        if positives > 1:
            require_neighbours(self.data)
        if recipe.reads_videos:
            self._open_frames(config)
        tables = self._tables(features, positives)
        torch.manual_seed(recipe.training.seed)
        model = self._model(config, features)
        self._say(tables, features, model)
        with sole_writer(self.out) if runtime.workers.first else nullcontext():
            return self._train(tables, features, config, model, teachers)

    def _train(
        self,
        tables: Tables,
        features: Sequence[TextFeature],
        config: Any,
        model: RetrievalModel,
        teachers: Sequence[Teacher],
    ) -> dict[str, Any]:
        """Run the loop, and write what it has made."""
        runtime, recipe = self.runtime, self.recipe
        loop = TrainingLoop(
            model.to(runtime.device),
            tables.pairs,
            tables.validation.validator(runtime.device),
            measure=tables.validation.measure,
            settings=replace(recipe.training, legacy=recipe.legacy or recipe.training.legacy),
            folder=self.out,
            fingerprint=self.manifest.fingerprint,
            device=runtime.device,
            workers=runtime.workers,
            reporter=runtime.reporter,
            teaching=self._teaching(teachers, tables.pairs.videos),
        )
        trained = loop.run()
        if runtime.workers.first:
            self._write(trained, model, config, features, tables.validation)
            loop.clean()
            _delete_tables(self.out)
        runtime.workers.wait()
        return self._summary(trained, tables.validation.measure)

    def _text_features(self) -> list[TextFeature]:
        device = self.runtime.device
        if self.start:
            kept = feature_paths(self.start.folder, self.start.text_features)
            return [
                text_feature_from_json(data, path=kept.get(data["name"]), device=device)
                for data in self.start.text_features
            ]
        features = build_text_features(
            self.text, self.data.sentences, self.data.specs, legacy=self.recipe.legacy, device=device
        )
        if self.backbone:
            require_own_tokens(self.backbone, features)
        return features

    def _teaching(self, teachers: Sequence[Teacher], videos: FeatureTable) -> Teaching | None:
        """The teachers, and where frames are not drawn, their rows of the videos that are trained on."""
        if not teachers:
            return None
        if self.data.frames is not None and self.data.frames.choice.draws:
            return Teaching([Taught(teacher) for teacher in teachers])
        runtime, taught = self.runtime, []
        for teacher, checkpoint in zip(teachers, self.teachers, strict=True):
            made_from = hashlib.sha256(f"{checkpoint.fingerprint} {self.manifest.fingerprint}".encode()).hexdigest()
            rows = video_rows(
                teacher,
                videos,
                table_path(self.out, made_from),
                device=runtime.device,
                workers=runtime.workers,
                reporter=runtime.reporter,
            )
            taught.append(Taught(teacher, rows))
        return Teaching(taught)

    def _open_frames(self, config: Any) -> None:
        """Open the frames that the model of a config reads. The first worker makes the caches that are not there."""
        runtime, frames = self.runtime, self.frames
        if not runtime.workers.first:
            runtime.workers.wait()
        folder = Path(frames.cache) if frames.cache else runtime.frame_caches
        grids = open_grids(self.data.videos, frames, config.image_size, folder, runtime.reporter)
        if runtime.workers.first:
            runtime.workers.wait()
        choice = frames.choice(config.max_frames)
        feature = FrameFeature(self.frames_name, choice, frames.fps, self.recipe.training.seed, grids)
        self.data = self.data.with_frames(feature, runtime.reporter)

    def _tables(self, features: Sequence[TextFeature], positives: int = 1) -> Tables:
        """The first worker encodes the captions; the others wait for it and read its cache."""
        workers = self.runtime.workers
        if not workers.first:
            workers.wait()
        tables = make_tables(self.recipe, self.data, features, cache=self.runtime.text_cache, positives=positives)
        if workers.first:
            workers.wait()
        return tables

    def _config(self, features: Sequence[TextFeature]) -> Any:
        own = {"video_frames": {self.frames_name: 0}} if self.recipe.reads_videos else {}
        if self.start:
            return make_config(self.start.architecture, {**self.start.config, **own})
        options = self.recipe.options | (self.backbone.options() if self.backbone else {})
        dims = {name: spec.dim for name, spec in self.data.specs.items()}
        inputs: dict[str, Mapping[str, Any]] = {
            "video": {name: dim for name, dim in dims.items() if not name.endswith("/frame")},
            "video_frames": {name: dim for name, dim in dims.items() if name.endswith("/frame")},
            **model_inputs(features),
            **own,
        }
        architecture = architectures.get(self.architecture)
        if self.recipe.legacy and "legacy" in architecture.options:
            options["legacy"] = True
        read = {name: inputs[name] for name in INPUTS if name in architecture.inputs or inputs[name]}
        return make_config(self.architecture, {**read, **options})

    def _model(self, config: Any, features: Sequence[TextFeature]) -> RetrievalModel:
        model = make_model(self.architecture, config)
        if self.start:
            model.load_state_dict(self.start.load_model().state_dict())
        else:
            if self.backbone:
                self.backbone.start(model)
            set_initial_words(model, self.text, features)
        if self.runtime.workers.count > 1 and self.runtime.device.startswith("cuda"):
            return cast(RetrievalModel, torch.nn.SyncBatchNorm.convert_sync_batchnorm(model))  # type: ignore[no-untyped-call]
        return model

    def _say(self, tables: Tables, features: Sequence[TextFeature], model: RetrievalModel) -> None:
        say, pairs, validation = self.runtime.reporter.say, tables.pairs, tables.validation
        names = ", ".join(collection.name for collection in self.data.train)
        say(f"train on {len(pairs)} captions of {len(pairs.videos)} videos ({names})")
        texts, videos = len(validation.texts), len(validation.videos)
        say(f"validate on {texts} texts against {videos} videos, by {validation.measure}")
        video = ", ".join(self.data.specs)
        if self.data.frames:
            choice, fps = self.data.frames.choice, self.data.frames.fps
            video = f"at most {choice.frames} frames, at {fps:g} a second, {choice.policy}, {choice.order} order"
        say(f"video: {video}; text: {', '.join(feature.name for feature in features)}")
        if tables.left_out:
            say(f"left out {len(tables.left_out)} captions without a known word: {some(tables.left_out)}")
        for name, rows in pairs.videos.rows.items():
            lacking = int((rows < 0).sum())
            if lacking:
                say(f"{lacking} of {len(rows)} videos lack {name} and are trained without it")
        for tokens in (feature for feature in features if isinstance(feature, ClipTokens)):
            cut = tokens.cut(self.data.sentences)
            if cut:
                say(f"{cut} of {len(self.data.sentences)} captions are cut to {tokens.max_words} tokens")
        for line in () if self.start else model.notes:
            say(line)
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        say(f"{self.architecture}: {millions:.1f} M parameters")

    def _write(
        self,
        trained: Trained,
        model: RetrievalModel,
        config: Any,
        features: Sequence[TextFeature],
        validation: ValidationSet,
    ) -> None:
        """Write the curve, the checkpoints, and the manifest that completes the training."""
        draw_curve(self.out, validation.measure)
        validate = validation.validator(self.runtime.device)
        chosen = [("best", trained.best, trained.best_epoch, 1)]
        if trained.average is not None:
            chosen.append(("average", trained.average, trained.epochs, trained.averaged))
        for name, weights, epoch, epochs in chosen:
            model.load_state_dict(weights)
            model.eval()
            measures = trained.measures if name == "best" else dict(validate(model))
            folder = self.out / name
            if architectures.get(self.architecture).backbone:
                save_backbone(model, self._backbone_folder(), folder)
            checkpoint = Checkpoint(
                architecture=self.architecture,
                config=config_to_json(config),
                video_features=self._video_specs(folder),
                text_features=[feature.to_json() for feature in features],
                epoch=epoch,
                measures=measures,
                validation=validation.description,
                selected_on=self.data.held_out.captions.videos if self.data.held_out else (),
                sampling=self._sampling(config),
                attention=mean_attention(model, validation.texts, validation.videos, device=self.runtime.device),
                folder=folder,
            )
            settings = {**self.manifest.config, "weights": name, "epochs": epochs}
            made_from = {**self.manifest.inputs, "training": self.manifest.fingerprint}
            paths = {**self.manifest.paths, "training": self.out}
            manifest = Manifest(type=CHECKPOINT_TYPE, config=settings, inputs=made_from, paths=paths)
            write_checkpoint(checkpoint, model.state_dict(), manifest, trained_on=self._trained_on())
        counts = {"epochs": trained.epochs, "best_epoch": trained.best_epoch, **trained.measures}
        write_manifest(self.out, replace(self.manifest, counts=counts, seconds=trained.seconds))

    def _video_specs(self, folder: Path) -> dict[str, EmbedderSpec]:
        """Feature -> spec of the stores that the model of a checkpoint can read."""
        if self.data.frames is None:
            return self.data.specs
        return {self.frames_name: own_frames_spec(folder, model_name(self.out))}

    def _sampling(self, config: Any) -> dict[str, Any]:
        """Which frames of a shot the model sees in a test; {} if it reads no frames, or nothing tells."""
        on_frames = architectures.get(self.architecture).backbone
        return sampling_seen(self.recipe, self.data, config.max_frames) if on_frames else {}

    def _trained_on(self) -> frozenset[str] | None:
        """Ids of the videos that the model was trained on; None of a model that teaches nobody, or if nobody knows."""
        before = self.start.trained_on if self.start else frozenset[str]()
        if before is None or not architectures.get(self.architecture).backbone:
            return None
        return before.union(*(collection.captions.videos for collection in self.data.train))

    def _backbone_folder(self) -> Path:
        """Where the tokenizer and the processor of the CLIP are."""
        if self.backbone:
            return self.backbone.folder
        assert self.start is not None
        return self.start.folder / BACKBONE

    def _summary(self, trained: Trained, measure: str) -> dict[str, Any]:
        best = f"best {measure} {trained.measures[measure]:.4f} at epoch {trained.best_epoch} of {trained.epochs}"
        self.runtime.reporter.say(
            f"wrote {self.out}: {best}, {trained.seconds:.0f} s, {trained.data_share:.1%} of it waiting for data"
        )
        return {
            "path": str(self.out),
            "measures": trained.measures,
            "best_epoch": trained.best_epoch,
            "epochs": trained.epochs,
            "seconds": round(trained.seconds, 1),
            "data_share": round(trained.data_share, 4),
        }


def _delete_tables(out: Path) -> None:
    """Delete the tables of teachers, which training alone needs."""
    for path in out.glob(TABLES):
        path.unlink()


def _discard(out: Path) -> None:
    """Delete a training, finished or not; the manifest goes first, so that what is left is never taken for complete."""
    for name in ("manifest.json", "state.safetensors", "best.safetensors", "metrics.jsonl", "curve.png"):
        (out / name).unlink(missing_ok=True)
    for name in ("epochs", "tensorboard", "best", "average"):
        shutil.rmtree(out / name, ignore_errors=True)
    _delete_tables(out)
