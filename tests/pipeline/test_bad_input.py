"""What cannot be trained on: said at once, exit 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_collection import TinyCollection, spec_named
from tiny_stores import make_store

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
    err = refused(capsys, "train-laff", "--captions", path, "--features", str(collection.stores[0]), "-o", "x")
    assert "2 of 3 captioned videos are in no store" in err
    assert "shot00077_1, shot00078_2" in err


def test_ids_that_stand_twice_and_empty_captions(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    path = captions(tmp_path, "shot00001_1#0 a dog", "shot00001_1#0 a cat", "shot00001_2#1 ", "shot00001_3#0 a car")
    err = refused(capsys, "train-laff", "--captions", path, "--features", str(collection.stores[0]), "-o", "x")
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
    assert "--captions and --features go together" in refused(capsys, "train-laff", "--captions", "c", "-o", "x")


def test_training_and_validation_must_not_share_videos(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    command = ["train-laff", *collection.options, "--validation-captions", str(collection.captions)]
    err = refused(capsys, *command, "-o", str(tmp_path / "x"))
    assert "48 videos are both trained and validated on" in err


def test_the_recipes_that_are_shipped_are_understood_and_the_examples_name_them() -> None:
    from avs.cli import train_dual_encoding, train_laff
    from avs.core.config import load_config
    from avs.models.architectures import make_config
    from avs.pipeline.grid import expand
    from avs.pipeline.recipe import TrainRecipe

    root = Path(__file__).resolve().parents[2]
    sizes = {}
    for path in sorted((root / "configs/train").glob("*.yaml")):
        recipe = load_config(path, TrainRecipe)
        sizes[path.name] = len(expand(recipe))
        dims = {"video": {}, "video_frames": {"f/frame": 4}, "text": {"bow": 3, "concepts": 2, "clip": 512}}
        options = {key: value for key, value in recipe.model.items() if key != "architecture"}
        make_config(recipe.architecture, {**dims, **options})
    assert sizes["rucmm_tv23.yaml"] == 42
    for verb in (train_laff, train_dual_encoding):
        for word in verb.EXAMPLES.split():
            assert not word.startswith("configs/") or (root / word).is_file(), word


def test_word2vec_is_named_with_its_file(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    text = ["--text", f"word2vec:{tmp_path / 'none.bin'}"]
    err = refused(capsys, "train-laff", *collection.options, *text, "-o", str(tmp_path / "x"))
    assert "no such file of word vectors" in err
