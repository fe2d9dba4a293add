"""What cannot be trained on: said at once, exit 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from files import files
from tiny_collection import TinyCollection, spec_named
from tiny_stores import make_store
from tiny_videos import write_collection

from avs.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(list(command)) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def captions(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "c.caption.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def test_captions_of_unknown_videos(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    path = captions(tmp_path, "shot00001_1#0 a dog", "shot00077_1#0 a cat", "shot00078_2#0 a car")
    err = refused(capsys, "train-laff", "--captions", path, "--store", str(collection.stores[0]), "-o", "x")
    assert "2 of 3 captioned videos are in no store" in err
    assert "shot00077_1, shot00078_2" in err


def test_ids_that_stand_twice_and_empty_captions(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    path = captions(tmp_path, "shot00001_1#0 a dog", "shot00001_1#0 a cat", "shot00001_2#1 ", "shot00001_3#0 a car")
    err = refused(capsys, "train-laff", "--captions", path, "--store", str(collection.stores[0]), "-o", "x")
    assert f"{path}:2" in err and f"{path}:3" in err


def test_stores_of_one_feature_from_different_encoders(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    make_store(tmp_path / "one", np.ones((3, 11)), spec=spec_named("one"))
    recipe = tmp_path / "recipe.yaml"
    other = captions(tmp_path, "shot00001_1#0 a dog", "shot00001_2#0 a cat")
    recipe.write_text(f"""
collections:
  a: {{captions: {collection.captions}, features: [{collection.stores[0]}]}}
  b: {{captions: {other}, features: [{tmp_path / "one"}]}}
""")
    err = refused(capsys, "train-laff", "--config", str(recipe), "-o", str(tmp_path / "x"))
    assert "the feature one of b is not that of a" in err and "dim" in err


def test_all_problems_of_a_recipe_at_once_with_their_lines(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""collections:
  a: {{captions: {collection.captions}, features: []}}
training:
  optimiser: sgd
  epochs: many
texts: [bow]
""")
    err = refused(capsys, "train-laff", "--config", str(recipe), "-o", str(tmp_path / "x"))
    for line in (f"{recipe}:2", f"{recipe}:4", f"{recipe}:5", f'{recipe}:6: texts: unknown key; did you mean "text"?'):
        assert line in err, line


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("model: {architecture: laf}", 'unknown architecture "laf"; did you mean "laff"?'),
        ("model: {architecture: laff, head: 4}", "laff has no option head"),
        ("train: [b]", "no such collection: b; there are a"),
        ("validation: {share: 0.2, collection: a}", "give one of share, collection"),
        ("validation: {measure: xinfAP}", "measure xinfAP goes with topics, qrels and features"),
        ("video: {checkpoint: models/x, keep: 0}", "keep: "),
        ("video: [three]", "no store of three; it has one"),
        ("text: [bov]", 'no text feature "bov"; did you mean "bow"?'),
        ("model: {architecture: dual-encoding}", "avs train-dual-encoding --config"),
        ("training: {epoch: 3}", "training.epoch: "),
    ],
)
def test_recipes_that_make_no_sense(collection: TinyCollection, tmp_path: Path, capsys, recipe: str, said: str) -> None:
    path = tmp_path / "recipe.yaml"
    data = f"collections: {{a: {{captions: {collection.captions}, features: [{collection.stores[0]}]}}}}\n"
    path.write_text(data + recipe + "\n")
    assert said in refused(capsys, "train-laff", "--config", str(path), "-o", str(tmp_path / "x"))
    assert not (tmp_path / "x").exists()


def test_nothing_to_train_on(capsys) -> None:
    assert "nothing to train on" in refused(capsys, "train-laff", "-o", "x")
    assert "--captions and --store go together" in refused(capsys, "train-laff", "--captions", "c", "-o", "x")


def test_training_and_validation_must_not_share_videos(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    command = ["train-laff", *collection.options, "--validation-captions", str(collection.captions)]
    err = refused(capsys, *command, "-o", str(tmp_path / "x"))
    assert "48 videos are both trained and validated on" in err


def test_the_recipes_that_are_shipped_are_understood_and_the_examples_name_them() -> None:
    from avs.core.config import load_config
    from avs.models.architectures import architectures, make_config
    from avs.pipeline.train.grid import expand
    from avs.pipeline.train.recipe import TrainRecipe

    root = Path(__file__).resolve().parents[3]
    sizes = {}
    for path in files(root / "configs/train", "*.yaml"):
        recipe = load_config(path, TrainRecipe)
        sizes[path.name] = len(expand(recipe))
        dims = {"video": {}, "video_frames": {"clip/frame": 512}, "text": {"bow": 3, "concepts": 2, "clip": 512}}
        dims["text"]["clip-ft"] = 512
        options = {key: value for key, value in recipe.model.items() if key != "architecture"}
        if not architectures.get(recipe.architecture).backbone:  # test_clip4clip_recipes.py makes those with a CLIP
            make_config(recipe.architecture, {**dims, **options})
    assert sizes["rucmm_tv23.yaml"] == 42
    for name in architectures:
        for word in architectures.get(name).examples.split():
            assert not word.startswith("configs/") or (root / word).is_file(), word


def test_word2vec_is_named_with_its_file(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    text = ["--text", f"word2vec:{tmp_path / 'none.bin'}"]
    err = refused(capsys, "train-laff", *collection.options, *text, "-o", str(tmp_path / "x"))
    assert "no such file of word vectors" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--epochs", "0"], "training.epochs"),
        (["--batch-size", "0"], "training.batch_size"),
        (["--batch-size", "-1"], "training.batch_size"),
        (["--seed", "-1"], "training.seed"),
        (["--learning-rate", "-1"], "training.learning_rate"),
        (["--heads", "0"], "heads: got 0; wanted at least 1"),
        (["--text", "bow", "--text", "bow"], "text: bow is named twice"),
        (["--text", "bow", "--text", "concepts"], "concepts are labels, not a text feature"),
        (["--device", "foo"], 'unknown device "foo"'),
        (["--precision", "float16", "--text", "bow"], "float16 is for CUDA"),
        (["--validation-store", "x"], "--validation-store goes with --validation-captions"),
    ],
)
def test_options_that_cannot_be_used(collection: TinyCollection, tmp_path: Path, capsys, options, said) -> None:
    assert said in refused(capsys, "train-laff", *collection.options, *options, "-o", str(tmp_path / "x"))


def recipe_of(tmp_path: Path, text: str) -> str:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return str(path)


def test_the_authors_defaults_do_not_need_a_model_section(collection: TinyCollection, tmp_path: Path) -> None:
    from avs.pipeline.train.overrides import Overrides, read_recipe

    data = f"collections: {{a: {{captions: {collection.captions}, features: [{collection.frames}]}}}}\n"
    path = Path(recipe_of(tmp_path, data + "training: {epochs: 5}\n"))
    overrides = Overrides(validation_captions=collection.captions, validation_stores=[collection.frames])
    recipe = read_recipe("dual-encoding", path, overrides)
    assert (recipe.training.optimiser, recipe.training.cut_patience, recipe.training.epochs) == ("adam", 0, 5)
    assert recipe.validation.measure == "SumR"


def test_a_video_that_is_held_out_is_trained_on_nowhere(collection: TinyCollection) -> None:
    from avs.pipeline.train.recipe import TrainRecipe
    from avs.pipeline.train.tables import open_data

    same = {"captions": collection.captions, "features": collection.stores}
    recipe = TrainRecipe.model_validate({"collections": {"a": same, "b": same}})
    data = open_data(recipe, None)
    assert data.held_out is not None
    for one in data.train:
        assert not set(one.captions.videos) & set(data.held_out.captions.videos)
        assert len(one.captions.videos) == 48 - len(data.held_out.captions.videos)


def test_one_video_under_two_names_is_one_video(tmp_path: Path) -> None:
    from avs.pipeline.train.collection_recipe import CollectionRecipe
    from avs.pipeline.train.collections import open_collection

    store = make_store(tmp_path / "one", np.ones((3, 4)), spec=spec_named("one"))
    assert store.ids[0] == "shot00001_1"
    make_whole(tmp_path / "whole")
    path = captions(tmp_path, "video7#0 a dog", "shotvideo7_1#1 a cat", "video8#0 a car")
    opened = open_collection("c", CollectionRecipe(captions=Path(path), features=[tmp_path / "whole"]))
    assert opened.captions.videos == ("shotvideo7_1", "shotvideo8_1")
    assert opened.captions.video_of.tolist() == [0, 0, 1]


def make_whole(folder: Path) -> None:
    """A store of videos indexed as one shot each."""
    from avs.core.artifacts import Manifest
    from avs.core.store_writer import FeatureWriter, ShotFeatures

    spec = spec_named("one")
    writer = FeatureWriter(folder, Manifest("feature-store", {"level": "shot"}, {}, spec.to_json()))
    ids = ["shotvideo7_1", "shotvideo8_1"]
    for shot in ids:
        writer.add(ShotFeatures(shot, np.full((1, spec.dim), spec.dim**-0.5), np.zeros(1)))
    writer.commit(ids)


def test_fine_tuning_into_another_model_is_refused(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    small = ["--text", "bow", "--heads", "2", "--head-dim", "8", "--epochs", "1"]
    assert main(["train-laff", *collection.options, *small, "-o", str(tmp_path / "m")]) == 0
    again = ["train-laff", *collection.options, "--start-from", str(tmp_path / "m"), "-o", str(tmp_path / "n")]
    err = refused(capsys, *again, "--heads", "4", "--text", "bow")
    assert "heads: 4" in err and "text: bow" in err
    fewer = ["--captions", str(collection.captions), "--store", str(collection.stores[0])]
    command = ["train-laff", *fewer, "--start-from", str(tmp_path / "m"), "-o", str(tmp_path / "n")]
    assert refused(capsys, *command).count("no store of two") == 1


def test_neighbours_are_wanted_where_no_captions_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write_collection(tmp_path, 4)
    monkeypatch.chdir(tmp_path)
    Path("c.txt").write_text("".join(f"shot{n:05d}_1#0 a car\n" for n in (1, 2, 3, 4)))
    model = "{architecture: clip4clip, backbone: mini-clip, loss: mil-nce, positives: 3, max_frames: 2}"
    collection = "{captions: c.txt, videos: videos, shots: shots.tsv}"
    Path("r.yaml").write_text(f"collections: {{c: {collection}}}\nmodel: {model}\nvalidation: {{share: 0.3}}\n")
    err = refused(capsys, "train-clip4clip", "--config", "r.yaml", "-o", "x")
    assert "no captions follow each other" in err and "leave `positives` out" in err
    assert not Path("x").exists()  # before frames are cached
    err = refused(capsys, "train-clip4clip", "--config", "r.yaml", "--loss", "margin", "-o", "x")
    assert "positives: got 3 with loss margin; it is an option of loss mil-nce" in err
