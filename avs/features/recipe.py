"""What decides the numbers of a set of feature stores: encoders, levels, sampling, precision; from options or YAML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from avs.features.levels import LEVELS

LevelName = Annotated[str, Field(pattern=f"^({LEVELS})$")]


class SamplingRecipe(BaseModel):
    """Which frames of a shot are encoded, as `avs.video.sampling.Sampling` and, for clips, `avs.video.clips` take it.

    Attributes:
        clips_per_shot: with the policy "clips", of `frames` frames that are `interval_s` apart.
        skip_similar: frames that differ less from the last one are left out, see `avs.video.similar`; None: none are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    policy: str = "interval"
    interval_s: float = 0.5
    frames: int | None = None
    clips_per_shot: int | None = None
    skip_similar: float | None = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, as_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What a manifest says. A store made before there were clips or frames left out is the same store."""
        settings: dict[str, Any] = as_dict(self)
        newer = ("clips_per_shot", "skip_similar")
        return {key: value for key, value in settings.items() if key not in newer or value is not None}


class EncoderRecipe(BaseModel):
    """An encoder, as `avs.features.embedder.load_embedder` takes it.

    Attributes:
        model: its catalog name, or the folder of a trained model.
        weights, pooling, crops: of an encoder of the catalog.
        backend: whose code computes the vectors of an encoder of the catalog; None: that of transformers, or of avs.
        raw_length: vectors of frames keep the length that the tower gives them; otherwise they have length 1.
        levels: of this encoder's stores; None: those of the recipe.
        sampling: of this encoder of the catalog; None: that of the recipe, or the one that its family states.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    weights: str | None = None
    pooling: str | None = None
    crops: str | None = None
    backend: Literal["transformers", "lavis"] | None = None
    raw_length: bool = False
    levels: tuple[LevelName, ...] | None = Field(default=None, min_length=1)
    sampling: SamplingRecipe | None = None


class ExtractionRecipe(BaseModel):
    """A set of feature stores. Device, batch size and workers are not in it: they do not decide what comes out.

    `sampling` is for the encoders that have none of their own, in the recipe or from their family (docs/features.md);
    a trained model always has. One decoding of the videos serves all. Without `levels`, an encoder makes a shot-level
    store, and a trained model all that it can make.
    """

    model_config = ConfigDict(extra="forbid")
    encoders: list[EncoderRecipe] = Field(min_length=1)
    levels: list[LevelName] | None = Field(default=None, min_length=1)
    sampling: SamplingRecipe = SamplingRecipe()
    compute_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    store_dtype: Literal["float16", "float32"] = "float16"
