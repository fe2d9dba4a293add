from __future__ import annotations

from pathlib import Path

import pytest
from tiny_videos import write_collection

from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.features.recipe import EncoderRecipe, ExtractionRecipe
from avs.pipeline.extract import extract_features, extraction_recipe


def test_options_make_the_recipe_that_a_file_would(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "encoders:\n  - {model: clip, weights: ./a=b}\n  - {model: blip2, pooling: queries}\n"
        "levels: [frame]\nsampling: {policy: uniform, frames: 8}\nstore_dtype: float32\n",
        encoding="utf-8",
    )
    options = extraction_recipe(
        None,
        models=["clip", "blip2"],
        weights=["clip=./a=b"],
        pooling=["blip2=queries"],
        levels=["frame"],
        sampling={"policy": "uniform", "interval": None, "frames": 8},
        store_dtype="float32",
    )
    assert options == extraction_recipe(path)
    assert extraction_recipe(None, models=["clip"], weights=["./a=b"]).encoders[0].weights == "./a=b"
    assert extraction_recipe(None, models=["clip"], sampling={"interval": 1.0}).sampling.interval_s == 1.0
    assert extraction_recipe(None, models=["clip"], sampling={"skip-similar": 2.0}).sampling.skip_similar == 2.0
    with pytest.raises(ConfigError, match="--config replaces these options") as caught:
        extraction_recipe(path, sampling={"interval": 0.0, "skip-similar": 2.0}, compute_dtype="bfloat16")
    assert caught.value.got == "--compute-dtype, --interval, --skip-similar"


def test_a_checkpoint_may_be_called_as_its_model() -> None:
    for value in ("clip", "clip=clip"):
        assert extraction_recipe(None, models=["clip"], weights=[value]).encoders[0].weights == "clip"
    both = extraction_recipe(None, models=["clip", "blip"], weights=["clip=blip", "blip=clip"])
    assert [encoder.weights for encoder in both.encoders] == ["blip", "clip"]
    for models, value in ((["clip", "blip"], "clip"), (["clip"], "clip="), (["clip"], "")):
        with pytest.raises(ConfigError, match="--weights does not fit the models"):
            extraction_recipe(None, models=models, weights=[value])


def test_a_process_per_core_gives_the_same_bytes_as_none(tmp_path: Path) -> None:
    write_collection(tmp_path, films=1)
    recipe = ExtractionRecipe(encoders=[EncoderRecipe(model="mini-clip")])
    for name, workers in (("here", 0), ("cores", None)):
        extract_features(
            recipe, tmp_path / "videos", tmp_path / "shots.tsv", tmp_path / name, workers=workers, reporter=Reporter()
        )
    here, cores = (tmp_path / name / "mini-clip/shot/vectors.npy" for name in ("here", "cores"))
    assert here.read_bytes() == cores.read_bytes()
