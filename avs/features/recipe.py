"""What decides the numbers of a set of feature stores: encoders, levels, sampling, precision; from options or YAML."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer


class EncoderRecipe(BaseModel):
    """An encoder, as `avs.features.embedder.load_embedder` takes it.

    Attributes:
        model: its catalog name, or the folder of a trained model.
        weights, pooling: of an encoder of the catalog.
        raw_length: vectors of frames keep the length that the tower gives them; otherwise they have length 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str
    weights: str | None = None
    pooling: str | None = None
    raw_length: bool = False


class SamplingRecipe(BaseModel):
    """Which frames of a shot are encoded, as `avs.video.sampling.Sampling` takes it.

    Attributes:
        skip_similar: frames that differ less from the last one are left out, see `avs.video.similar`; None: none are.
    """

    model_config = ConfigDict(extra="forbid")
    policy: str = "interval"
    interval_s: float = 0.5
    frames: int | None = None
    skip_similar: float | None = None

    @model_serializer(mode="wrap")
    def _without_defaults(self, as_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What a manifest says. A store made before frames could be left out is the same store."""
        settings: dict[str, Any] = as_dict(self)
        return {key: value for key, value in settings.items() if key != "skip_similar" or value is not None}


class ExtractionRecipe(BaseModel):
    """A set of feature stores. Device, batch size and workers are not in it: they do not decide what comes out.

    An encoder whose family states its own sampling (docs/features.md) takes that instead of `sampling`, and so does a
    trained model. Without `levels`, an encoder makes a shot-level store, and a trained model all that it can make.
    """

    model_config = ConfigDict(extra="forbid")
    encoders: list[EncoderRecipe] = Field(min_length=1)
    levels: list[Literal["shot", "frame"]] | None = Field(default=None, min_length=1)
    sampling: SamplingRecipe = SamplingRecipe()
    compute_dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    store_dtype: Literal["float16", "float32"] = "float16"
