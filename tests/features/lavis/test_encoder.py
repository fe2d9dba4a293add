"""LAVIS as an encoder: its spec, its vectors, and what is refused before any work and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import make_blip
from tiny_lavis import DIM, FACTS, SIZE, VERSIONS, counted, make_environment, write_weights

from avs.core.errors import AvsError, ConfigError, DataError, MissingDependencyError, SpecMismatchError
from avs.core.spec import EmbedderSpec
from avs.features.embedder import has_text_side, load_embedder, load_embedder_for, read_spec
from avs.features.lavis import published

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8))
Environment = Callable[..., Path]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Makes the environment that `--backend lavis` finds."""

    def make(**how: Any) -> Path:
        folder = make_environment(tmp_path / f"env{len(list(tmp_path.glob('env*')))}", **how)
        monkeypatch.setenv("AVS_LAVIS_VENV", str(folder))
        return folder

    return make


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_weights(tmp_path / "weights")


def load(weights: Path, model: str = "blip", **options: Any) -> Any:
    return load_embedder(model, weights=weights, backend="lavis", **options)


def test_the_spec_says_backend_and_versions(environment: Environment, weights: Path) -> None:
    folder = environment()
    spec = read_spec("blip", weights=weights, backend="lavis")
    assert (spec.name, spec.dim, spec.image_size, spec.resize, spec.pooling) == (
        "blip",
        DIM,
        SIZE,
        "square",
        "projection",
    )
    assert spec.backend == "lavis"
    assert spec.backend_versions == "salesforce-lavis 1.0.2, timm 0.4.12, transformers 4.26.1"
    assert EmbedderSpec.from_json(spec.to_json()) == spec and has_text_side(spec)
    assert counted(folder, "starts") == 1 and counted(folder, "messages") == 0, "a spec needs no model"
    revisions = {spec.revision}
    settings = (weights / "lavis.yaml").read_text(encoding="utf-8")
    changes = (
        ("weights.pth", "others"),
        ("lavis.yaml", settings + "changes: {embed_dim: 8}\n"),
        ("med.json", "{}"),
        ("lavis.yaml", settings + "changes: {med_config_path: med.json}\n"),
        ("med.json", '{"num_attention_heads": 2}'),
    )
    for name, content in changes:
        (weights / name).write_text(content, encoding="utf-8")
        revisions.add(read_spec("blip", weights=weights, backend="lavis").revision)
    assert len(revisions) == len(changes), "what decides the vectors is not in the revision; an unused file may be"
    (weights / "med.json").unlink()
    with pytest.raises(ConfigError, match="no med.json"):
        read_spec("blip", weights=weights, backend="lavis")


def test_a_spec_of_transformers_is_written_as_it_was_before(tmp_path: Path) -> None:
    spec = read_spec("blip", weights=make_blip(tmp_path / "blip"))
    assert spec.backend == "" and not {"backend", "backend_versions"} & set(spec.to_json())
    assert read_spec("blip", weights=tmp_path / "blip", backend="transformers") == spec


def test_vectors_of_two_backends_are_not_compared(environment: Environment, weights: Path) -> None:
    environment()
    spec = load(weights).spec
    for other in (
        replace(spec, backend="", backend_versions=""),
        replace(spec, backend_versions="salesforce-lavis 1.0.3"),
    ):
        with pytest.raises(SpecMismatchError, match="backend_versions"):
            spec.require_same(other, where="store")
    with pytest.raises(SpecMismatchError, match="backend_versions differ"):
        load_embedder_for(replace(spec, backend_versions="salesforce-lavis 1.0.3"))
    assert load_embedder_for(spec).spec == spec


def test_images(environment: Environment, weights: Path) -> None:
    folder = environment()
    encoder = load(weights)
    frames = np.random.default_rng(1).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    images = encoder.preprocess(frames)
    assert images.shape == (2, 3, SIZE, SIZE) and images.dtype == torch.uint8
    vectors = encoder.encode_images(IMAGES)
    assert vectors.shape == (3, DIM) and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.array_equal(encoder.encode_images(IMAGES[1:2]), vectors[1:2])
    assert counted(folder, "starts") == 1


@pytest.mark.parametrize(("pooling", "shape"), [(None, (3, DIM)), ("query-mean", (3, DIM)), ("queries", (3, 4, DIM))])
def test_queries_of_blip2(environment: Environment, weights: Path, pooling: str | None, shape: tuple[int, ...]) -> None:
    environment(queries=4)
    vectors = load(weights, "blip2", pooling=pooling).encode_images(IMAGES)
    assert vectors.shape == shape and np.allclose(np.linalg.norm(vectors, axis=-1), 1, atol=1e-6)


def test_texts(environment: Environment, weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    environment(limit=3)
    encoder = load(weights)
    vectors = encoder.encode_texts(["A dog runs.", "a dog runs", "a dog runs far away"], batch_size=2)
    assert vectors.shape == (3, DIM) and np.array_equal(vectors[0], vectors[1]), "LAVIS's captions are lower case"
    assert np.array_equal(vectors[2], vectors[1])
    assert caplog.messages == ['text cut by 2 tokens, which blip does not take: "a dog runs far away"']
    assert encoder.encode_texts([]).shape == (0, DIM)
    with pytest.raises(DataError, match="2 of 3 texts are empty"):
        encoder.encode_texts(["a", " ", "."])


def test_values_that_are_not_finite_are_refused_with_their_place(environment: Environment, weights: Path) -> None:
    environment(wrong={"nan": [2, 3]})
    encoder = load(weights)
    with pytest.raises(DataError) as caught:
        encoder.encode_images(IMAGES)
    assert "not finite for 1 of 3 images" in str(caught.value) and caught.value.got == "image 2 of the batch"
    with pytest.raises(DataError) as caught:
        encoder.encode_texts(["a", "b", "c"])
    assert caught.value.got == "text 2 of the batch"


def test_other_vectors_than_the_model_has_are_refused(environment: Environment, weights: Path) -> None:
    environment(facts={**FACTS, "dim": 16})
    with pytest.raises(AvsError) as caught:
        load(weights)
    assert (caught.value.got, caught.value.wanted) == ("dim 16", f"dim {DIM}")
    encoder = load(write_weights(weights.parent / "other", dim=16))
    encoder.spec = replace(encoder.spec, dim=8)
    with pytest.raises(DataError, match=r"shapes \[\[3, 16\]\]"):
        encoder.encode_images(IMAGES)


@pytest.mark.parametrize(
    ("facts", "got"),
    [
        ({"resize": "shortest-edge-crop"}, "resize shortest-edge-crop"),
        ({"interpolation": "bilinear", "takes": 64}, "takes 64, interpolation bilinear"),
        ({"mean": [0.5, 0.5, 0.5]}, "mean [0.5, 0.5, 0.5]"),
    ],
)
def test_images_that_lavis_would_make_in_another_way_are_refused(
    environment: Environment, weights: Path, facts: dict[str, Any], got: str
) -> None:
    environment(facts={**FACTS, **facts})
    with pytest.raises(AvsError, match="a model of another kind") as caught:
        load(weights)
    assert caught.value.got == got


def test_lengths_of_vectors(environment: Environment, weights: Path) -> None:
    environment(facts={**FACTS, "resize": "shortest-edge-crop"})
    clip = load(weights, "clip", unit_length=False)
    assert not clip.spec.normalised and clip.spec.resize == "shortest-edge-crop"
    assert clip.encode_texts(["a"], unit_length=False).shape == (1, DIM)
    environment()
    for model in ("blip", "blip2"):
        with pytest.raises(ConfigError, match="with length 1 alone"):
            load(weights, model, unit_length=False)
        with pytest.raises(ConfigError, match="with length 1 alone"):
            load(weights, model).encode_texts(["a"], unit_length=False)


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("siglip-base-224", {}, 'LAVIS has no model "siglip-base-224"'),
        ("blip", {"dtype": "bfloat16"}, "LAVIS computes in float32"),
        ("blip", {"pooling": "queries"}, 'blip has no pooling "queries"'),
        ("blip", {"crops": "ten"}, 'blip has no crops "ten"'),
        ("blip", {"backend": "lavys"}, 'unknown backend "lavys"; did you mean "lavis"?'),
        ("blip-base-capfilt", {"backend": None}, "--backend lavis"),
    ],
)
def test_what_lavis_does_not_have(
    environment: Environment, weights: Path, model: str, options: dict[str, Any], said: str
) -> None:
    folder = environment()
    with pytest.raises(ConfigError) as caught:
        load_embedder(model, weights=weights, **{"backend": "lavis", **options})
    assert said in str(caught.value)
    assert counted(folder, "starts") == 0


def test_missing_files_are_told_at_once(environment: Environment, tmp_path: Path) -> None:
    environment()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        read_spec("blip2-itm-vit-g", weights=tmp_path / "empty", backend="lavis")
    for word in (
        "no blip2_pretrained.pth",
        "no eva_vit_g.pth",
        "no bert-base-uncased/vocab.txt",
        "4 problems",
        "https://",
    ):
        assert word in str(caught.value)
    for model in ("blip-base-capfilt", "clip-vit-b32"):
        with pytest.raises(ConfigError, match="needs weights"):
            read_spec(model, backend="lavis")
    with pytest.raises(AvsError, match="no such file or folder of weights"):
        read_spec("blip", weights=tmp_path / "none", backend="lavis")
    with pytest.raises(AvsError, match="lavis.yaml"):
        read_spec("blip", weights=tmp_path / "empty", backend="lavis")


def test_a_published_file_may_have_any_name(environment: Environment, weights: Path) -> None:
    folder = environment(facts={**FACTS, "dim": 256, "takes": 224})
    (weights / "lavis.yaml").unlink()
    encoder = load(weights / "weights.pth", "blip-base-capfilt")
    assert encoder.spec.weights == str(weights / "weights.pth")
    opening = (folder / "opening.json").read_text()
    assert '"kind": "base"' in opening and '"torchscript": false' in opening


def test_an_archive_of_torchscript_must_be_the_published_one(
    environment: Environment, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold code, and loading it may run that."""
    folder = environment(facts={**FACTS, "dim": 512, "takes": 224, "resize": "shortest-edge-crop"})
    with pytest.raises(ConfigError, match="not the one that was published") as caught:
        load(weights / "weights.pth", "clip-vit-b32")
    assert counted(folder, "messages") == 0
    known = str(caught.value.got).removeprefix("sha256 ")
    monkeypatch.setitem(published.PUBLISHED, "clip-vit-b32", replace(published.PUBLISHED["clip-vit-b32"], sha256=known))
    assert load(weights / "weights.pth", "clip-vit-b32").spec.dim == 512
    assert '"torchscript": true' in (folder / "opening.json").read_text()


def test_an_environment_of_other_versions_is_refused(environment: Environment, weights: Path) -> None:
    environment(versions={**VERSIONS, "transformers": "4.27.4"})
    with pytest.raises(MissingDependencyError, match="transformers 4.27.4"):
        read_spec("blip", weights=weights, backend="lavis")


def test_the_catalog_states_what_lavis_has() -> None:
    from avs.features.catalog import get_entry

    for name, model in published.PUBLISHED.items():
        entry = get_entry(name)
        assert (entry.family, entry.dim, entry.image_size) == (model.family, model.dim, model.image_size), name
        assert bool(model.sha256) == (model.family == "clip")
