"""Encoders: dims, unit length, batches, and the errors of loading; the families' own files are in test_families.py."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_checkpoints import DIM, MAX_TOKENS, MEAN, QUERIES, SIZE, STD, TEXTS, frames, make_clip

from avs.core.errors import AvsError, ConfigError, DataError, MissingDependencyError, SpecMismatchError
from avs.features.embedder import DeviceEmbedder, load_embedder, load_embedder_for, read_spec
from avs.features.encoders import ImageEncoder

CASES = [("clip", None), ("blip", None), ("blip2", None), ("blip2", "queries")]


@pytest.fixture(scope="module", params=CASES, ids=str)
def embedder(request: pytest.FixtureRequest, checkpoints: dict[str, Path]) -> ImageEncoder:
    family, pooling = request.param
    return load_embedder(family, weights=checkpoints[family], pooling=pooling)


def test_shapes_are_those_of_the_spec_and_vectors_have_unit_length(embedder: ImageEncoder) -> None:
    images = embedder.preprocess(frames())
    assert images.shape == (3, 3, SIZE, SIZE) and images.dtype == torch.uint8
    vectors, texts = embedder.encode_images(images), embedder.encode_texts(TEXTS)
    several = (QUERIES,) if embedder.spec.pooling == "queries" else ()
    assert vectors.shape == (3, *several, DIM) and texts.shape == (3, DIM)
    assert vectors.dtype == texts.dtype == np.float32
    for found in (vectors, texts):
        np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    assert embedder.spec.dim == DIM and embedder.spec.image_size == SIZE and embedder.spec.normalised


def test_vectors_that_stay_on_the_device_have_the_same_bits(embedder: ImageEncoder) -> None:
    images = embedder.preprocess(frames())
    assert isinstance(embedder, DeviceEmbedder)
    stayed = embedder.device_vectors(images)
    assert isinstance(stayed, torch.Tensor) and stayed.dtype == torch.float32 and stayed.device == embedder.device
    np.testing.assert_array_equal(stayed.numpy(), embedder.encode_images(images))


def test_different_images_and_texts_have_different_vectors(embedder: ImageEncoder) -> None:
    vectors, texts = embedder.encode_images(embedder.preprocess(frames())), embedder.encode_texts(TEXTS)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert np.abs(texts[0] - texts[1]).max() > 1e-3


def test_the_same_image_twice_has_cosine_one(embedder: ImageEncoder) -> None:
    images = embedder.preprocess(np.repeat(frames(1), 2, axis=0))
    first, second = embedder.encode_images(images)
    np.testing.assert_allclose((first * second).sum(-1), 1, atol=1e-5)


def test_a_batch_equals_its_members_alone(embedder: ImageEncoder) -> None:
    images = embedder.preprocess(frames(2))
    alone = np.concatenate([embedder.encode_images(images[:1]), embedder.encode_images(images[1:])])
    np.testing.assert_allclose(embedder.encode_images(images), alone, atol=1e-4)
    together, one_by_one = embedder.encode_texts(TEXTS), embedder.encode_texts(TEXTS, batch_size=1)
    np.testing.assert_allclose(together, one_by_one, atol=1e-4)  # though padded to different lengths


def test_no_texts_give_no_vectors_and_an_empty_text_is_refused(embedder: ImageEncoder) -> None:
    assert embedder.encode_texts([]).shape == (0, DIM)
    with pytest.raises(DataError, match="1 of 2 texts are empty"):
        embedder.encode_texts(["a man", "  "])


def test_a_text_that_is_cut_is_named(checkpoints: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    clip = load_embedder("clip", weights=checkpoints["clip"])
    fits, cut = "a" * (MAX_TOKENS - 2), "a" * (MAX_TOKENS + 1)  # letters are tokens here; start and end are two more
    vectors = clip.encode_texts([fits, cut])
    assert caplog.messages == [f'text cut by 3 tokens: clip takes {MAX_TOKENS}, this has {MAX_TOKENS + 3}: "{cut}"']
    assert vectors.shape == (2, DIM)


def test_the_spec_is_read_without_loading_and_says_where(checkpoints: dict[str, Path], embedder: ImageEncoder) -> None:
    family = next(name for name, folder in checkpoints.items() if str(folder) == embedder.spec.weights)
    spec = read_spec(family, weights=checkpoints[family], pooling=embedder.spec.pooling)
    assert spec == embedder.spec and spec.weights == embedder.spec.weights
    assert spec.mean == tuple(MEAN) and spec.std == tuple(STD) and spec.interpolation == "bicubic"
    assert spec.resize == ("shortest-edge-crop" if family == "clip" else "square")
    assert spec.activation == ("quick_gelu" if family == "clip" else "gelu")


def test_an_encoder_moved_elsewhere_is_the_same_and_a_retrained_one_is_not(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    spec = read_spec("clip", weights=checkpoints["clip"])
    moved = shutil.copytree(checkpoints["clip"], tmp_path / "moved")
    assert load_embedder_for(spec, weights=moved).spec == spec
    assert load_embedder_for(spec).spec == spec
    other = make_clip(tmp_path / "other", seed=1)
    with pytest.raises(SpecMismatchError, match="revision differ"):
        load_embedder_for(spec, weights=other)


def test_the_pooling_of_a_store_is_kept_for_its_queries(checkpoints: dict[str, Path]) -> None:
    spec = read_spec("blip2", weights=checkpoints["blip2"], pooling="queries")
    assert load_embedder_for(spec).spec.pooling == "queries"


def test_weights_of_another_family_are_refused(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_embedder("blip", weights=checkpoints["clip"])
    assert caught.value.what == "the checkpoint is of another family than blip"
    assert (caught.value.got, caught.value.wanted) == ("model_type clip", "model_type blip")


def test_weights_that_are_not_what_the_catalog_says_are_refused(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_embedder("clip-vit-b32", weights=checkpoints["clip"])
    assert caught.value.what == "the weights are not those of clip-vit-b32"
    assert caught.value.got == f"dim {DIM}, image_size {SIZE}"
    assert caught.value.wanted == "dim 512, image_size 224"
    assert caught.value.next_step == f"for weights of your own use --model clip --weights {checkpoints['clip']}"


def test_tensors_that_would_be_random_are_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(checkpoints["blip"], tmp_path / "blip")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("vision_proj")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AvsError) as caught:
        load_embedder("blip", weights=folder)
    assert caught.value.what.startswith("the checkpoint is not one of BlipForImageTextRetrieval: 2 tensors")
    assert caught.value.got == "lacking vision_proj.bias, vision_proj.weight"


def test_a_processor_for_another_image_size_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints["clip"], tmp_path / "clip")
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(config | {"size": 48, "crop_size": 48}))
    with pytest.raises(AvsError, match="image size is not the image tower's"):
        read_spec("clip", weights=folder)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "clip"}, ConfigError, 'the model "clip" needs weights'),
        ({"pooling": "queries"}, ConfigError, 'clip has no pooling "queries"'),
        ({"device": "gpu"}, ConfigError, 'unknown device "gpu"'),
        ({"dtype": "half"}, ConfigError, 'unknown compute dtype "half"'),
        ({"dtype": "float16"}, ConfigError, "float16 is not computed on a CPU"),
        ({"device": "cuda:99"}, MissingDependencyError, 'there is no CUDA device "cuda:99"'),
    ],
    ids=str,
)
def test_what_cannot_be_loaded_is_said(
    checkpoints: dict[str, Path], options: dict[str, str], error: type[AvsError], message: str
) -> None:
    given = {"model": "clip"} | options
    weights = None if options == {"model": "clip"} else checkpoints["clip"]
    with pytest.raises(error) as caught:
        load_embedder(given.pop("model"), weights=weights, **given)
    assert caught.value.what == message


def test_bfloat16_is_close_to_float32(checkpoints: dict[str, Path]) -> None:
    for family, folder in checkpoints.items():
        full, half = (load_embedder(family, weights=folder, dtype=dtype) for dtype in ("float32", "bfloat16"))
        images = full.preprocess(frames())
        assert (full.encode_images(images) * half.encode_images(images)).sum(-1).min() > 0.999
