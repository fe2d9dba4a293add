"""Families that this file registers, as a new file in avs/features/families/ would: extracted and searched by verbs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_frames import FakeFrames, table
from tiny_checkpoints import MEAN, STD, write_json, write_processor
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.errors import ConfigError, SpecMismatchError
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.core.store_parts import SharedWriter
from avs.features.embedder import has_text_side, load_embedder, load_embedder_for, require_text_side
from avs.features.encoding import Target
from avs.features.extract import extract, store_manifest
from avs.features.family import Facts, Family, families, load_module, read_config
from avs.features.levels import parse_level
from avs.features.text import parse_text_options
from avs.video.decode import Video

SIZE = 8


class ToyImages(Family):
    """The mean colour of an image."""

    model_type = "toy"

    def __init__(self, folder: Path, *, dtype: torch.dtype, pooling: str) -> None:
        self.module = torch.nn.Identity()

    @staticmethod
    def facts(folder: Path) -> Facts:
        return Facts(dim=3, image_size=SIZE)

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(dim=(2, 3))


class ToyClips(ToyImages):
    """The mean colour of a clip; it reads 8 frames per shot, in clips of 3, whatever is asked for."""

    clip_frames = 3
    sampling = {"policy": "uniform", "frames": 8}

    def clips(self, pixels: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (pixels.mean(dim=(3, 4)) * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@pytest.fixture(autouse=True)
def toys() -> Iterator[None]:
    families.register("toy-images")(ToyImages)
    families.register("toy-clips")(ToyClips)
    yield
    for name in ("toy-images", "toy-clips"):
        del families._items[name]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    folder.mkdir()
    write_json(folder / "config.json", {"model_type": "toy"})
    (folder / "model.safetensors").write_bytes(b"no tensors")
    write_processor(folder, size={"height": SIZE, "width": SIZE})
    return folder


def pixels(frames: np.ndarray, weights: Path) -> np.ndarray:
    """(F, 3) mean normalised colours of frames."""
    images = load_embedder("toy-images", weights=weights).preprocess(frames).numpy()
    return ((images / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))).mean(axis=(2, 3))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_toy_encoders_of_images_and_of_clips_are_extracted_by_the_verb_and_refused_by_a_zero_shot_search(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_collection(tmp_path, films=2)
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "-o", tmp_path / "out"]
    for model in ("toy-images", "toy-clips"):
        words += ["--model", model, "--weights", f"{model}={weights}"]
    words += ["--level", "shot", "--level", "frame", "--workers", "0"]
    assert main(["extract-features", *map(str, words)]) == 0
    store = tmp_path / "out/toy-images/shot"
    assert f"next: avs train-laff --captions CAPTIONS --store {store}" in capsys.readouterr().err
    images, clips = (FeatureStore(tmp_path / f"out/{model}/frame") for model in ("toy-images", "toy-clips"))
    assert images.vectors.shape == (6 * 4, 3) and "clip_frames" not in images.manifest["config"]
    assert images.manifest["config"]["sampling"] == {
        "policy": "interval", "interval_s": 0.5, "frames": None, "decoder": "PyAV",
    }  # fmt: skip
    assert clips.vectors.shape == (6 * 3, 3)  # 8 frames are three clips
    assert clips.manifest["config"]["clip_frames"] == 3
    assert clips.manifest["config"]["sampling"] == {
        "policy": "uniform", "interval_s": 0.5, "frames": 8, "decoder": "PyAV",
    }  # fmt: skip
    assert FeatureStore(tmp_path / "out/toy-clips/shot").vectors.shape == (6, 3)
    assert main(["extract-features", *map(str, words), "--skip-similar", "4", "--force"]) == 2
    assert "similar frames cannot be left out of clips" in capsys.readouterr().err
    (tmp_path / "topics.txt").write_text("731 a red circle\n", encoding="utf-8")
    for model in ("toy-images", "toy-clips"):
        store = tmp_path / "out" / model / "shot"
        search = ["search", "--topics", tmp_path / "topics.txt", "--store", store, "-o", tmp_path / "lists/"]
        assert main([*map(str, search)]) == 2
        error = capsys.readouterr().err
        assert "the store has no text side: its encoder does not encode texts" in error
        assert f"train a model on it: avs train-laff --store {store} ..., then search with --checkpoint" in error
    assert not list(tmp_path.rglob("*.trec"))


def test_a_model_is_trained_on_a_store_without_a_text_side_and_searched(tmp_path: Path, weights: Path) -> None:
    write_collection(tmp_path, films=4)
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "-o", tmp_path, "--quiet"]
    words += ["--model", "toy-images", "--weights", weights, "--workers", 0]
    assert main(["extract-features", *map(str, words)]) == 0
    store = FeatureStore(tmp_path / "toy-images/shot")
    captions = tmp_path / "captions.txt"
    sentences = [f"{shot}#{n} a dog in the {thing}\n" for shot in store.ids for n, thing in enumerate(("sea", "snow"))]
    captions.write_text("".join(sentences), encoding="utf-8")
    train = ["--captions", captions, "--store", store.folder, "--epochs", 1, "--heads", 2, "--head-dim", 8]
    assert main(["train-laff", *map(str, train), "--quiet", "-o", str(tmp_path / "laff")]) == 0
    (tmp_path / "topics.txt").write_text("731 a dog in the snow\n", encoding="utf-8")
    search = ["--topics", tmp_path / "topics.txt", "--store", store.folder, "--checkpoint", tmp_path / "laff/best"]
    assert main(["search", *map(str, search), "--quiet", "-o", str(tmp_path / "laff.trec")]) == 0
    assert len((tmp_path / "laff.trec").read_text(encoding="utf-8").splitlines()) == len(store) == 12


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (7, 0), (64, 0), (7, 2)])
def test_the_frames_of_a_shot_stay_together_in_padded_clips(
    tmp_path: Path, weights: Path, batch_size: int, workers: int
) -> None:
    shots = table({"00001": 5, "00002": 2})
    source = FakeFrames(failed={"shot00001_2"}, partial={"shot00002_1"})
    embedder = load_embedder("toy-clips", weights=weights)
    manifests: dict[str, Any] = {
        level: store_manifest(
            embedder.spec, parse_level(level), sampling={}, inputs={}, store_dtype="float32", clip_frames=3
        )
        for level in ("shot", "frame")
    }
    writers = [SharedWriter(tmp_path / level, manifest, "float32") for level, manifest in manifests.items()]
    shot, frame = extract(shots, source, [Target(embedder, writers)], batch_size=batch_size, workers=workers)
    assert "shot00001_2" not in shot.ids and len(shot) == 6
    assert shot.manifest["config"]["shot_vector"] == "l2(mean of the clips' l2 vectors)"
    for id in shot.ids:
        frames = source.frames(shots.get(id))
        colours = pixels(frames.data, weights)
        clips = np.stack([unit(colours[start : start + 3].mean(axis=0)) for start in range(0, len(colours), 3)])
        np.testing.assert_allclose(frame.frames(id), clips, atol=1e-5)
        np.testing.assert_allclose(shot.rows([id])[0], unit(clips.mean(axis=0)), atol=1e-5)
    first = source.frames(shots.get("shot00001_1")).pts_s
    assert frame.pts_s is not None
    assert frame.pts_s[0] == pytest.approx(first[:3].mean())


SAMPLINGS = (
    ("toy-images", "{policy: interval, interval_s: 0.25}"),
    ("toy-clips", None),  # as its family states
    ("mini-clip", "{policy: middle}"),
    ("mini-blip", "{policy: keyframes}"),
    ("mini-blip2", "{policy: interval, interval_s: 0.25, skip_similar: 4}"),
)


@pytest.mark.parametrize("workers", [0, 2])
def test_encoders_with_samplings_of_their_own_share_one_decoding(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """The stores have the bytes that each has when it is made alone."""
    write_collection(tmp_path, films=3)
    words = ["extract-features", "--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "--quiet"]
    words += ["--batch-size", 5]
    encoders = []
    for model, sampling in SAMPLINGS:
        own = f", weights: {weights}" if model.startswith("toy") else ""
        encoders.append(f"  - {{model: {model}{own}{f', sampling: {sampling}' if sampling else ''}}}\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("levels: [shot, frame]\nencoders:\n" + "".join(encoders), encoding="utf-8")
    opened: list[str] = []
    opening = Video._open
    monkeypatch.setattr(Video, "_open", lambda video: (opened.append(video.path.name), opening(video))[1])
    together = [*words, "--workers", workers, "--config", recipe, "-o", tmp_path / "together"]
    assert main([*map(str, together)]) == 0
    assert len(opened) == (0 if workers else 3)
    for (model, _), encoder in zip(SAMPLINGS, encoders, strict=True):
        recipe.write_text(f"levels: [shot, frame]\nencoders:\n{encoder}", encoding="utf-8")
        alone = [*words, "--workers", 0, "--config", recipe, "-o", tmp_path / "alone"]
        assert main([*map(str, alone)]) == 0
        for level in ("shot", "frame"):
            stores = [tmp_path / made / model / level for made in ("together", "alone")]
            for name in ("vectors.npy", "ids.txt", "problems.tsv", *(["pts_s.npy"] if level == "frame" else [])):
                assert (stores[0] / name).read_bytes() == (stores[1] / name).read_bytes(), (model, level, name)
            counts = [FeatureStore(store).manifest["counts"] for store in stores]
            assert counts[0] == counts[1]
    assert "similar_frames" in counts[0]


def test_clips_of_a_recipe_are_cut_padded_and_counted(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_collection(tmp_path, films=1)  # 3 shots of 2 s
    words = ["extract-features", "--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "--workers", 0]
    recipe = tmp_path / "recipe.yaml"
    sampling = "{policy: clips, frames: 3, interval_s: %s, clips_per_shot: 2}"
    text = f"levels: [frame]\nencoders: [{{model: toy-clips, weights: {weights}, sampling: {sampling}}}]\n"
    found = {}
    for name, interval_s in (("long", 0.9), ("short", 0.2)):
        recipe.write_text(text % interval_s, encoding="utf-8")
        assert main([*map(str, words), "--config", str(recipe), "-o", str(tmp_path / name)]) == 0
        found[name] = FeatureStore(tmp_path / name / "toy-clips/frame")
    said = capsys.readouterr().err
    assert "3 of 3 clips are padded" in said and "of 6 clips" not in said
    assert [len(found["long"].frames(shot)) for shot in found["long"].ids] == [1, 1, 1]
    assert [len(found["short"].frames(shot)) for shot in found["short"].ids] == [2, 2, 2]
    assert found["short"].manifest["counts"]["clips"] == 6
    assert found["short"].pts_s is not None and found["short"].pts_s[:2].round(1).tolist() == [0.5, 1.5]
    assert found["short"].manifest["config"]["sampling"]["clips_per_shot"] == 2
    assert (found["short"].spec.clip_frames, found["short"].spec.clip_interval_s) == (3, 0.2)
    with pytest.raises(SpecMismatchError, match="clip_interval_s differ"):
        found["short"].spec.require_same(found["long"].spec, where="long")
    assert load_embedder_for(found["short"].spec).spec == found["short"].spec


@pytest.mark.parametrize(
    ("model", "sampling", "message"),
    [
        ("toy-clips", "{policy: clips, frames: 4}", "encodes clips of 3 frames"),
        ("toy-images", "{policy: clips, frames: 3}", "encodes single images"),
        ("toy-clips", "{policy: clips}", "needs a number of frames per clip"),
        ("toy-images", "{policy: uniform, frames: 3, clips_per_shot: 2}", "clips_per_shot is for the policy clips"),
        ("toy-clips", "{policy: clips, frames: 3, interval_s: 0}", "must be at least 0.001 s apart"),
        ("toy-clips", "{policy: clips, frames: 3, clips_per_shot: 0}", "at least one clip"),
        ("toy-clips", "{policy: interval, skip_similar: 4}", "similar frames cannot be left out of clips"),
    ],
)
def test_a_sampling_that_does_not_fit_its_encoder(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str], model: str, sampling: str, message: str
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"encoders: [{{model: {model}, weights: {weights}, sampling: {sampling}}}]\n", encoding="utf-8")
    words = ["--videos", tmp_path, "--shots", tmp_path / "shots.tsv", "--config", recipe, "-o", tmp_path / "out"]
    assert main(["extract-features", *map(str, words)]) == 2
    assert message in capsys.readouterr().err


def test_raw_length_is_for_images(weights: Path) -> None:
    with pytest.raises(ConfigError, match="toy-clips encodes clips, and raw length is for encoders of images"):
        load_embedder("toy-clips", weights=weights, unit_length=False)


def test_an_encoder_without_a_text_tower_says_so_wherever_texts_are_wanted(weights: Path) -> None:
    embedder = load_embedder("toy-images", weights=weights)
    assert not has_text_side(embedder.spec)
    with pytest.raises(ConfigError, match="toy-images has no text tower"):
        load_embedder_for(embedder.spec).encode_texts(["a dog"])
    with pytest.raises(ConfigError, match="the store has no text side"):
        require_text_side(embedder.spec, where="features/toy")
    with pytest.raises(ConfigError, match="toy-images has no text tower, so it is no text feature"):
        parse_text_options(["toy-images"])
    unknown = EmbedderSpec.from_json({**embedder.spec.to_json(), "name": "dinosaur"})
    with pytest.raises(ConfigError, match="made by a model that the catalog does not know"):
        require_text_side(unknown, where="features/dinosaur")
    mini = EmbedderSpec.from_json({**embedder.spec.to_json(), "name": "mini-clip"})
    require_text_side(mini, where="features/mini-clip")
    bigfile = EmbedderSpec("mini-clip", "bigfile", 3, 0, (), (), "", "", "", "", False)
    assert not has_text_side(bigfile)


def test_the_family_that_the_docs_add_is_extracted(tmp_path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    tower: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(image_size=224, patch_size=56, **tower)).save_pretrained(tmp_path)
    write_processor(tmp_path, size={"shortest_edge": 256}, do_center_crop=True, crop_size=224)
    page = (Path(__file__).parents[2] / "docs/features.md").read_text(encoding="utf-8")
    code = next(block for block in page.split("```python\n") if block.startswith("@families.register")).split("```")[0]
    names = {"families": families, "Family": Family, "Facts": Facts}
    try:
        exec(code, {**names, "load_module": load_module, "read_config": read_config})
        dino = load_embedder("dino", weights=tmp_path)
    finally:
        families._items.pop("dino", None)
    vectors = dino.encode_images(dino.preprocess(np.zeros((2, 300, 400, 3), dtype=np.uint8)))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.shape == (2, 32) and not has_text_side(dino.spec)
