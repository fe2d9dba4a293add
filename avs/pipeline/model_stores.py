"""The stores of trained models: one vector per shot by the model, and the vectors of its backbone's frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avs.core.artifacts import Manifest
from avs.core.errors import ConfigError, Problems, SpecMismatchError, typed
from avs.core.list_files import is_trained_model
from avs.core.spec import EmbedderSpec
from avs.core.store_parts import SharedWriter
from avs.features.catalog import read_catalog
from avs.features.embedder import ClipEmbedder, ImageEmbedder, load_embedder
from avs.features.encoding import Target
from avs.features.extract import store_manifest
from avs.features.levels import StoreLevel, parse_level
from avs.features.recipe import EncoderRecipe, ExtractionRecipe, SamplingRecipe
from avs.features.stores import CatalogEncoder, StoreEncoder
from avs.pipeline.encoders import FAMILY, EncodingModel, open_encoding_model, require_one_vector
from avs.video.sampling import KEY_FRAMES, Sampling

SHOT_VECTOR_OF_MODEL = "the model's vector of the chosen frames"
GRID = ("policy", "interval_s", "frames")  # of a sampling; the rest is which frames of the grid are chosen


@dataclass(frozen=True, slots=True, eq=False)
class ModelEncoder:
    """A trained model that is to fill stores. A StoreEncoder.

    With a frame-level store, its backbone encodes every frame once, and the shot's vector is made of these. Without
    one, only the chosen frames are read, as clips. Both compute the same, to rounding.

    The frame-level store of a model that was trained on pixels has the chosen frames alone, so that a search with the
    model sees what the training saw. A model that was trained on a store gets such a store: with all sampled frames.
    """

    model: EncodingModel

    @property
    def name(self) -> str:
        return self.model.name

    def levels(self, wanted: Sequence[str] | None) -> list[StoreLevel]:
        flat = self.model.config.single_frames
        if wanted is None and self.model.config.pairwise and flat:
            return [StoreLevel("frame")]
        levels = list(dict.fromkeys(wanted or (["shot", "frame"] if flat else ["shot"])))
        others = [level for level in levels if level not in ("shot", "frame")]
        if others:
            raise ConfigError(
                "a trained model reads the frames that it chooses, so a store cannot keep others",
                where=self.model.checkpoint.folder,
                got=f"--level {others[0]}",
                next_step="use --level shot or frame, or extract its stores in a command of their own",
            )
        if "shot" in levels:
            require_one_vector(self.model)
        if "frame" in levels and not flat:
            raise ConfigError(
                "the model reads frames together with those around them, so a single frame has no vector",
                where=self.model.checkpoint.folder,
                got="--level frame for a model with 3d patches",
                next_step="make its shot-level store alone: --level shot",
            )
        return [parse_level(level) for level in levels]

    def manifest(
        self, level: StoreLevel, recipe: ExtractionRecipe, *, inputs: Mapping[str, str], decoder: str
    ) -> Manifest:
        model, shot = self.model, level.kind == "shot"
        sampling: dict[str, Any] = {name: model.sampling[name] for name in GRID}
        if shot or not self._keeps_all:
            sampling["choice"] = model.choice.to_json()
        own = {"checkpoint": model.checkpoint.fingerprint} if shot or not model.config.reads_vectors else {}
        made = store_manifest(
            model.spec if shot else self._frame_spec(),
            level,
            sampling={**sampling, "decoder": decoder},
            inputs={**inputs, **own},
            compute_dtype=recipe.compute_dtype,
            store_dtype=recipe.store_dtype,
            clip_frames=model.choice.frames if shot else 0,
        )
        config = {**made.config, "shot_vector": SHOT_VECTOR_OF_MODEL} if shot else made.config
        return replace(made, config=config, paths={"checkpoint": model.checkpoint.folder} if own else {})

    def target(self, writers: Sequence[SharedWriter], *, view: int, device: str, dtype: str) -> Target:
        model = self.model
        levels = {writer.level for writer in writers}
        trained = model.load(model.spec, device=device, dtype=dtype) if "shot" in levels else None
        if levels == {"shot"}:
            assert trained is not None
            return Target(trained, writers, view=view)
        frames = self._open_backbone(device=device, dtype=dtype)
        # of all sampled frames the model chooses itself
        own = {"shot_vectors": trained.shot_vectors} if trained else {}
        return Target(frames, writers, view=view, **own)

    @property
    def _keeps_all(self) -> bool:
        """Whether its frame-level store has all sampled frames: those of a store that it was trained on."""
        return self.model.config.reads_vectors and self.model.choice == self.model.own_choice

    def _open_backbone(self, *, device: str, dtype: str) -> ImageEmbedder:
        """The encoder of single frames.

        Raises:
            SpecMismatchError: it is not the one whose frames the model reads.
        """
        spec, folder = self._frame_spec(), self.model.backbone
        frames = load_embedder(FAMILY, weights=folder, device=device, dtype=dtype, unit_length=spec.normalised)
        assert not isinstance(frames, ClipEmbedder)
        # the vision tower of a model that read vectors is the frozen one that made them, in a CLIP with another text
        revision = spec.revision if self.model.config.reads_vectors else frames.spec.revision
        try:
            spec.require_same(replace(frames.spec, name=spec.name, revision=revision), where=str(folder))
        except SpecMismatchError as error:
            raise SpecMismatchError(
                "the backbone in the checkpoint is not the one whose frames the model reads",
                where=folder,
                got=error.got,
                wanted=error.wanted,
                next_step="put the files of the checkpoint back, or train the model again",
            ) from error
        return frames

    def _frame_spec(self) -> EmbedderSpec:
        """The spec that the model asks of a frame-level store; its own backbone lies in the checkpoint."""
        spec = self.model.frame_spec
        return spec if self.model.config.reads_vectors else replace(spec, weights=str(self.model.backbone.resolve()))


def store_encoders(recipe: ExtractionRecipe) -> list[StoreEncoder]:
    """The encoders of a recipe, in order, those of the catalog as they are named.

    Raises:
        ConfigError: options that a trained model decides itself, or a sampling that is not known; all of them at once.
        AvsError: what open_encoding_model refuses.
    """
    problems = Problems("options that do not fit the trained models")
    encoders: list[StoreEncoder] = [
        ModelEncoder(_opened(one, recipe.sampling, problems)) if names_model(one.model) else CatalogEncoder(one)
        for one in recipe.encoders
    ]
    problems.raise_if_any(ConfigError)
    return encoders


def names_model(name: str) -> bool:
    """Whether `--model NAME` means the folder of a trained model: one, or a path where others are."""
    folder = Path(name)
    if name in read_catalog() or (folder / "config.json").is_file():
        return False
    return is_trained_model(folder) or folder.is_dir() or (folder.parent != Path() and folder.parent.is_dir())


def _opened(one: EncoderRecipe, sampling: SamplingRecipe, problems: Problems) -> EncodingModel:
    folder, given = Path(one.model), sorted(sampling.model_fields_set)
    model = open_encoding_model(folder)
    given_of = {"--weights": one.weights, "--pooling": one.pooling, "--crops": one.crops}
    given_of["--backend"] = one.backend
    for option, value in {**given_of, "--raw-length": one.raw_length, "sampling": one.sampling}.items():
        if value:
            problems.add(typed(folder), f"{option} is for encoders of the catalog; the checkpoint decides it")
    if model.sampling and given:
        problems.add(typed(folder), f"{', '.join(given)}: the checkpoint decides which frames are read; leave it out")
    elif sampling.policy == KEY_FRAMES or sampling.skip_similar is not None:
        problems.add(typed(folder), "it reads frames at equal distances: neither --policy keyframes nor --skip-similar")
    elif not model.sampling and not given:
        problems.add(
            typed(folder),
            "an older avs made the checkpoint, which does not say which frames it reads; say it, such as --interval 1",
        )
    elif given:
        model = EncodingModel(model.checkpoint, sampling.model_dump())
    if model.sampling:
        Sampling(**{name: model.sampling[name] for name in GRID})
    return model
