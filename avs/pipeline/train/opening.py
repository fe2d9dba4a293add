"""What a training reads, opened and checked before anything slow: all that is wrong is told at once.

Nothing here reads a video, embeds a caption or loads weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

from avs.core.errors import Attempts, AvsError, ConfigError, Problems
from avs.core.features import open_stores
from avs.core.progress import Reporter
from avs.features.text import parse_text_options
from avs.features.text.clip_tokens import ClipTokensOptions
from avs.models.architectures import architectures, make_config
from avs.pipeline.chosen_frames import sampling_of
from avs.pipeline.train.backbone import Backbone, open_backbone, require_own_tokens
from avs.pipeline.train.collection_recipe import FramesRecipe
from avs.pipeline.train.recipe import TrainRecipe
from avs.pipeline.train.tables import TrainingData, open_data
from avs.pipeline.train.teachers import Student, can_be_taught, read_teachers, require_fit
from avs.pipeline.train.texts import build_text_features
from avs.train.checkpoint import Checkpoint
from avs.train.frame_choice import FrameChoice

BOUNDLESS = 10**9
ANY_CLIP: Mapping[str, Any] = {
    "projection_dim": 512,
    "text_config": {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "max_position_embeddings": BOUNDLESS,
        "num_attention_heads": 8,
        "num_hidden_layers": BOUNDLESS,
    },
    "vision_config": {"image_size": 224, "num_hidden_layers": BOUNDLESS},
}
"""In place of a backbone that cannot be opened: with it, only options are wrong that no CLIP could serve."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenedTraining:
    """What a training reads.

    Attributes:
        data: the collections.
        backbone: the CLIP that it starts from, if its architecture has one and it starts from no checkpoint.
        teachers: the checkpoints that it learns from.
        remarks: what there is to say about the teachers.
    """

    data: TrainingData
    backbone: Backbone | None
    teachers: list[Checkpoint]
    remarks: list[str]


def open_training(
    recipe: TrainRecipe, start: Checkpoint | None, *, without: frozenset[str], device: str, reporter: Reporter
) -> OpenedTraining:
    """Open and check what a recipe names.

    Args:
        start: checkpoint to start from.
        without: videos that must not be trained on.
        device: that it is to be trained on.
        reporter: of the hashing of videos, later.

    Raises:
        AvsError: anything is wrong with the collections, the backbone, the options of the model, or the teachers.
    """
    wrong, name = Attempts("this cannot be trained"), start.architecture if start else recipe.architecture
    builds_on_clip = architectures.get(name).backbone
    wrong.attempt(partial(_require_precision, recipe, device))
    data = wrong.attempt(partial(open_data, recipe, start, without=without, reporter=reporter))
    backbone, config = None, None
    if builds_on_clip and not start:
        backbone = wrong.attempt(partial(open_backbone, recipe.model.get("backbone")))
    if builds_on_clip:
        config = wrong.attempt(partial(_first_config, recipe, start, backbone, data))
    if data and backbone:
        wrong.attempt(partial(_require_own_frames, name, data, backbone))
    if backbone:
        wrong.attempt(partial(_require_size, recipe, backbone.spec.image_size))
    elif start and config:
        wrong.attempt(partial(_require_size, recipe, config.image_size))
    if data and config and config.pairwise:
        wrong.attempt(partial(_require_few_pairs, recipe, data, name))
    options = (start.config if start else recipe.model) if config or not builds_on_clip else None
    teachers = read_teachers(recipe.teachers, name, options, wrong)
    remarks: list[str] | None = []
    if teachers and can_be_taught(name):
        tokens = wrong.attempt(partial(_tokens, recipe, start, backbone)) if backbone or start else None
        student = _student(recipe, start, config if backbone or start else None, data, tokens)
        remarks = wrong.attempt(partial(require_fit, teachers, student))
    wrong.raise_if_any()
    assert data is not None and remarks is not None
    return OpenedTraining(data, backbone, teachers, remarks)


def require_options(grid: Mapping[str, TrainRecipe]) -> None:
    """Check the options of the models of a grid that build on a CLIP, before the first of them is trained.

    Raises:
        ConfigError: some cannot be used with any CLIP; all of them at once.
    """
    problems = Problems("models of the grid that cannot be trained")
    for name, recipe in grid.items():
        if architectures.get(recipe.architecture).backbone and not recipe.start_from:
            try:
                _first_config(recipe, None, None, None)
            except AvsError as error:
                problems.add(name, " ".join(error.what.split()))
    problems.raise_if_any(ConfigError)


def sampling_seen(recipe: TrainRecipe, data: TrainingData, max_frames: int) -> dict[str, Any]:
    """Which frames of a shot a model on a CLIP sees in a test, as Checkpoint.sampling; {} if nothing tells.

    Args:
        max_frames: the most that it reads.
    """
    if recipe.reads_videos:
        frames = recipe.frames or FramesRecipe()
        return sampling_of(frames.fps, frames.choice(max_frames).in_test)
    (name,) = data.specs
    manifest: Any = data.train[0].stores[name].manifest
    sampling = (manifest.get("config") or {}).get("sampling")
    return {**sampling, "choice": FrameChoice(max_frames).to_json()} if sampling else {}


def _first_config(
    recipe: TrainRecipe, start: Checkpoint | None, backbone: Backbone | None, data: TrainingData | None
) -> Any:
    """The config of the model, as far as it can be known before the captions are read."""
    if start:
        return make_config(start.architecture, start.config)
    options = recipe.options | (backbone.options() if backbone else {"backbone": ANY_CLIP})
    frames = {key: spec.dim for key, spec in data.specs.items() if key.endswith("/frame")} if data else {}
    if backbone and frames:  # the vectors of a backbone that is not there have another length than ANY_CLIP's
        options["video_frames"] = frames
    return make_config(recipe.architecture, options)


def _require_own_frames(architecture: str, data: TrainingData, backbone: Backbone) -> None:
    """Check that stores hold the frames of the backbone."""
    for name, spec in data.specs.items():
        if not name.endswith("/frame"):
            raise ConfigError(
                f"{architecture} reads the frames of a video, and {name} has one vector per shot",
                next_step=f"extract a frame-level store: avs extract-features --model {spec.name} --level frame",
            )
        replace(backbone.spec, normalised=spec.normalised).require_same(spec, where=name)


def _require_precision(recipe: TrainRecipe, device: str) -> None:
    if recipe.training.precision == "float16" and not device.startswith("cuda"):
        raise ConfigError("float16 is for CUDA", got=f"--device {device}", wanted="float32 or bfloat16")


def _require_size(recipe: TrainRecipe, size: int) -> None:
    if recipe.reads_videos and recipe.frames and recipe.frames.size not in (None, size):
        raise ConfigError(
            "frames of another size than the backbone takes",
            got=f"frames: {{size: {recipe.frames.size}}}",
            wanted=str(size),
            next_step="leave the size out",
        )


def _require_few_pairs(recipe: TrainRecipe, data: TrainingData, architecture: str) -> None:
    """Check that a model of pairs does not score too many of them in every validation."""
    texts, videos = _validation_size(recipe, data)
    most = recipe.validation.most_pairs
    if texts * videos > most:
        raise ConfigError(
            f"{architecture} would score too many pairs in every validation, each of which is a pass of its own",
            got=f"{texts * videos:,} pairs of {texts:,} texts and {videos:,} videos",
            wanted=f"at most {most:,}",
            next_step="validate on fewer: a smaller `share`, or a `collection` with `captions_per_video: first`; or "
            f"score all of them: validation: {{most_pairs: {texts * videos}}} in the recipe",
        )


def _validation_size(recipe: TrainRecipe, data: TrainingData) -> tuple[int, int]:
    """How many texts and how many videos are validated on."""
    if data.held_out is not None:
        return len(data.held_out.captions), len(data.held_out.captions.videos)
    from avs.trecvid.topics import read_topics

    chosen = recipe.validation
    assert chosen.topics is not None
    stores = open_stores(chosen.features).values()
    shots = data.judged.ids if data.judged else {shot for store in stores for shot in store.ids}
    return len(read_topics([chosen.topics])), len(shots)


def _tokens(recipe: TrainRecipe, start: Checkpoint | None, backbone: Backbone | None) -> Sequence[str] | None:
    """Fingerprints of the tokenizers of a model; None where it reads something else, which its config refuses."""
    if start:
        return [str(one.get("fingerprint")) for one in start.text_features]
    assert backbone is not None
    options = recipe.text or parse_text_options([backbone.tokens(recipe.architecture, recipe.model)])
    if not all(isinstance(option, ClipTokensOptions) for option in options):
        return None
    features = build_text_features(options, [], {}, legacy=False, device="cpu")
    require_own_tokens(backbone, features)
    return [str(feature.to_json()["fingerprint"]) for feature in features]


def _student(
    recipe: TrainRecipe, start: Checkpoint | None, config: Any, data: TrainingData | None, tokens: Sequence[str] | None
) -> Student:
    """What is known of the model that is to be taught, where some of its options may be wrong."""
    if config:
        sizes = {name: getattr(config, name) for name in ("max_words", "max_frames", "image_size")}
    else:
        options = {each.name: each.default for each in fields(architectures.get(recipe.architecture).config)}
        options |= start.config if start else recipe.model
        sizes = {name: options[name] for name in ("max_words", "max_frames")}
    known = data is not None and (recipe.reads_videos or len(data.specs) == 1)
    return Student(
        sizes=sizes,
        reads_videos=recipe.reads_videos,
        specs=data.specs if data and known else {},
        tokens=tokens,
        sampling=sampling_seen(recipe, data, BOUNDLESS) if data and known else {},
        tested_on=data.held_out.captions if data and data.held_out else None,
        other_frames=recipe.other_frames,
    )
