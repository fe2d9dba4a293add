"""Training as a user types it: options or YAML into checkpoints that search."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_collection import TinyCollection, spec_named, tiny_collection
from tiny_stores import make_store, shot_ids, with_hashes

from avs.cli.main import main
from avs.core.progress import Reporter
from avs.core.store import FeatureStore
from avs.pipeline.search.trained import load_trained
from avs.pipeline.train import run as run_module
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec

SMALL = ["--text", "bow", "--heads", "2", "--head-dim", "16", "--epochs", "12", "--batch-size", "16"]
FAST = [*SMALL, "--learning-rate", "0.005"]


def train(collection: TinyCollection, out: Path, *more: str) -> int:
    return main(["train-laff", *collection.options, *FAST, "-o", str(out), *more])


@pytest.fixture(scope="module")
def trained(collection: TinyCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "laff"
    assert train(collection, out) == 0
    return out


def test_what_a_training_leaves_behind(trained: Path) -> None:
    assert sorted(path.name for path in trained.iterdir() if not path.name.startswith(".")) == [
        "average", "best", "curve.png", "manifest.json", "metrics.jsonl", "tensorboard",
    ]  # fmt: skip
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    best = read_checkpoint(trained)
    assert best.folder == trained / "best"
    assert best.measures["MRR"] == max(row["MRR"] for row in rows) > 0.6  # 5 videos held out; chance is 0.46
    assert best.attention["video"].keys() == {"one", "two"}
    assert sum(best.attention["video"].values()) == pytest.approx(1)
    assert set(best.video_features) == {"one", "two"}


def test_finished_it_is_up_to_date_and_other_settings_are_refused(
    collection: TinyCollection, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "best/model.safetensors").stat().st_mtime_ns
    assert train(collection, trained) == 0
    assert f"up to date: {trained}" in capsys.readouterr().err
    assert train(collection, trained, "--seed", "5") == 2
    assert "made before from other inputs or settings" in capsys.readouterr().err
    assert (trained / "best/model.safetensors").stat().st_mtime_ns == before


def test_a_model_finds_what_its_topics_describe(
    collection: TinyCollection, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = tmp_path / "topics.txt"
    topics.write_text("901 a dog in the forest\n902 a palomino in the snow\n")
    stores = [word for store in collection.stores for word in ("--store", str(store))]
    command = ["search", "--topics", str(topics), *stores, "--checkpoint", str(trained), "-o", f"{tmp_path}/lists/"]
    assert main(command) == 0
    assert 'laff: topic 902: "palomino" is not in the vocabulary of bow' in capsys.readouterr().err
    ranked = read_trec(tmp_path / "lists/laff.trec").lists["901"]
    assert ranked.shots[0] == shot_ids(48)[8]  # thing 0 in place 1
    # and the scores are those of the model on the whole table
    model = load_trained(read_checkpoint(trained))
    embedded = model.embed(["a dog in the forest"], ["901"])
    from avs.core.features import open_stores
    from avs.pipeline.train.collections import store_table
    from avs.train.embed import similarities

    ids = FeatureStore(collection.stores[0]).ids
    table = store_table(open_stores(collection.stores), ids)
    whole = similarities(model.model, model.read(["a dog in the forest"], ["901"], noun="topic"), table)[0]
    assert embedded.shape == (1, 32)
    np.testing.assert_allclose(ranked.scores, np.sort(whole)[::-1], atol=1e-5)


def test_no_known_word_at_all_is_an_error(
    collection: TinyCollection, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = tmp_path / "topics.txt"
    topics.write_text("901 xylophone\n")
    stores = [word for store in collection.stores for word in ("--store", str(store))]
    assert main(["search", "--topics", str(topics), *stores, "--checkpoint", str(trained), "-o", str(tmp_path)]) == 2
    assert "the model knows no word of 1 topics" in capsys.readouterr().err


def test_a_store_of_another_encoder_is_refused(
    collection: TinyCollection, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_store(tmp_path / "one", np.ones((3, 11)), spec=spec_named("one"))
    topics = tmp_path / "topics.txt"
    topics.write_text("901 a dog\n")
    command = ["search", "--topics", str(topics), "--store", str(tmp_path / "one"), "--checkpoint", str(trained)]
    assert main([*command, "-o", str(tmp_path / "lists")]) == 2
    err = capsys.readouterr().err
    assert f"the stores do not fit the checkpoint {trained / 'best'}" in err
    assert "one: dim=11, wanted dim=10" in err and "two: no store given" in err


def test_info_prints_the_attention(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(trained)]) == 0
    out = capsys.readouterr().out
    assert "video attention, mean over videos and heads:\n  " in out
    assert "architecture: laff" in out


def test_fine_tuning_keeps_the_vocabulary(collection: TinyCollection, trained: Path, tmp_path: Path) -> None:
    other = tiny_collection(tmp_path / "other", seed=3, shots=40)
    other.captions.write_text(other.captions.read_text().replace("dog", "hound"))
    options = ["train-laff", *other.options, "--start-from", str(trained), "--epochs", "1"]
    assert main([*options, "-o", str(tmp_path / "tuned")]) == 0
    words = [
        f["vocabulary"]["words"] for f in (read_checkpoint(p).text_features[0] for p in (trained, tmp_path / "tuned"))
    ]
    assert words[0] == words[1] and "hound" not in words[1]


def test_laff_ml_takes_frames_beside_vectors(collection: TinyCollection, tmp_path: Path) -> None:
    assert train(collection, tmp_path / "ml", "--store", str(collection.frames), "--epochs", "2") == 0
    assert set(read_checkpoint(tmp_path / "ml").video_features) == {"one", "two", "film/frame"}


def test_dual_encoding_trains_on_frames(collection: TinyCollection, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
collections:
  tiny: {{captions: {collection.captions}, features: [{collection.frames}]}}
text: [bow, {{kind: bigru, hidden: 8, embedding: 8}}, {{kind: concepts, size: 6}}]
model:
  {{architecture: dual-encoding, fusion: concatenated, concepts: concepts, space: 16, hidden: 8, filters: 8,
   text_filters: 8}}
training: {{epochs: 2, batch_size: 32}}
""")
    out = tmp_path / "de"
    assert main(["train-dual-encoding", "--config", str(recipe), "-o", str(out)]) == 0
    assert read_checkpoint(out).measures.keys() >= {"SumR", "MRR"}
    topics = tmp_path / "topics.txt"
    topics.write_text("901 a dog in the forest\n")
    command = ["search", "--topics", str(topics), "--store", str(collection.frames), "--checkpoint", str(out)]
    assert main([*command, "-o", str(tmp_path / "de.trec")]) == 0
    assert len(read_trec(tmp_path / "de.trec").lists["901"].shots) == 48


GRID = """
layout: {{captions: "{folder}/{{name}}/tiny.caption.txt", features: ["{folder}/{{name}}/one", "{folder}/{{name}}/two"]}}
collections: {{a: , b: , held: }}
train: [b]
validation: {{collection: held}}
text: [bow]
model: {{architecture: laff, heads: 2, head_dim: 8}}
training: {{epochs: 1, batch_size: 32}}
grid:
  pretrain: {{a: [a], none: []}}
  video: {{both: [one, two], two: [two]}}
  seed: [1, 2]
"""


def test_a_grid_trains_every_combination_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate(("a", "b", "held")):
        made = tiny_collection(tmp_path / name, seed=seed, shots=24)
        if name == "held":  # other videos: the ids of all tiny collections are the same
            rename(made, "shot00001_", "shot00009_")
    recipe = tmp_path / "grid.yaml"
    recipe.write_text(GRID.format(folder=tmp_path))
    assert main(["train-laff", "--config", str(recipe), "--list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 8 and "a.both.seed1" in listed[0] and "a -> b" in listed[0]
    out = tmp_path / "grid"
    assert main(["train-laff", "--config", str(recipe), "-o", str(out), "--json"]) == 0
    summaries = json.loads(capsys.readouterr().out)
    assert [Path(s["path"]).name for s in summaries][:3] == ["a.both.seed1", "a.both.seed2", "a.two.seed1"]
    assert (out / "a.both.seed1/pretrained/best/model.safetensors").is_file()
    assert set(read_checkpoint(out / "none.two.seed2").video_features) == {"two"}
    assert main(["train-laff", "--config", str(recipe), "-o", str(out)]) == 0
    assert capsys.readouterr().err.count("up to date: ") == 8 + 4


def rename(made: TinyCollection, before: str, after: str) -> None:
    made.captions.write_text(made.captions.read_text().replace(before, after))
    for store in made.stores:
        ids = store / "ids.txt"
        ids.write_text(ids.read_text().replace(before, after))
        with_hashes(store)


def test_the_most_attended_features_are_kept(collection: TinyCollection, trained: Path, tmp_path: Path) -> None:
    shares = read_checkpoint(trained).attention["video"]
    features = ", ".join(str(store) for store in collection.stores)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
collections: {{tiny: {{captions: {collection.captions}, features: [{features}]}}}}
video: {{checkpoint: {trained}, keep: 1}}
text: [bow]
model: {{architecture: laff, heads: 1, head_dim: 8}}
training: {{epochs: 1}}
""")
    assert main(["train-laff", "--config", str(recipe), "-o", str(tmp_path / "one")]) == 0
    assert list(read_checkpoint(tmp_path / "one").video_features) == [max(shares, key=lambda name: shares[name])]


def test_validation_by_xinfap(collection: TinyCollection, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    topics, qrels = tmp_path / "topics.txt", tmp_path / "qrels.txt"
    topics.write_text("901 a dog in the forest\n902 a cat in the room\n")
    ids = shot_ids(48)
    judged = [
        f"1{t} 0 {shot} 1 {int(ids.index(shot) == right)}" for t, right in (("901", 8), ("902", 25)) for shot in ids
    ]
    qrels.write_text("\n".join(judged) + "\n")
    features = ", ".join(str(store) for store in collection.stores)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"""
collections: {{tiny: {{captions: {collection.captions}, features: [{features}]}}}}
validation: {{topics: {topics}, qrels: {qrels}, features: [{features}], measure: xinfAP}}
text: [bow]
model: {{architecture: laff, heads: 2, head_dim: 16}}
training: {{epochs: 8, batch_size: 16, learning_rate: 0.005}}
""")
    assert main(["train-laff", "--config", str(recipe), "-o", str(tmp_path / "model")]) == 0
    assert read_checkpoint(tmp_path / "model").measures["xinfAP"] > 0.5
    capsys.readouterr()
    stores = [word for store in collection.stores for word in ("--store", str(store))]
    command = ["search", "--topics", str(topics), *stores, "--checkpoint", str(tmp_path / "model")]
    assert main([*command, "-o", f"{tmp_path}/lists/"]) == 0
    assert f"warning: model was selected by xinfAP on {topics}" in capsys.readouterr().err


def test_retrieval_by_a_trained_model_and_the_warning_on_what_selected_it(
    collection: TinyCollection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_collection(tmp_path / "other", seed=5, shots=24)
    rename(other, "shot00001_", "shot00009_")
    chosen = ["--validation-captions", str(other.captions)]
    chosen += [word for store in other.stores for word in ("--validation-store", str(store))]
    assert train(collection, tmp_path / "model", *chosen) == 0
    capsys.readouterr()
    stores = [word for store in other.stores for word in ("--store", str(store))]
    command = ["eval-retrieval", "--captions", str(other.captions), *stores, "--checkpoint", str(tmp_path / "model")]
    assert main([*command, "--directions", "t2v", "--json"]) == 0
    said = capsys.readouterr()
    (system,) = json.loads(said.out)["systems"]
    assert system["system"] == "model"
    assert system["rankings"][0]["MRR"] == pytest.approx(read_checkpoint(tmp_path / "model").measures["MRR"])
    assert "was selected on 24 of these 24 videos" in said.err


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "best/model.safetensors")


def test_fine_tuning_starts_from_the_weights_of_the_checkpoint(
    collection: TinyCollection, trained: Path, tmp_path: Path
) -> None:
    options = ["train-laff", *collection.options, "--start-from", str(trained), "--epochs", "1"]
    assert main([*options, "--learning-rate", "1e-9", "-o", str(tmp_path / "tuned")]) == 0
    before, after = weights_of(trained), weights_of(tmp_path / "tuned")
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, atol=1e-6, err_msg=name)


def test_the_average_is_recorded_with_its_own_measures(collection: TinyCollection, tmp_path: Path) -> None:
    assert train(collection, tmp_path / "laff", "--learning-rate", "0.002", "--epochs", "4") == 0
    rows = [json.loads(line) for line in (tmp_path / "laff/metrics.jsonl").read_text().splitlines()]
    best, average = (read_checkpoint(tmp_path / "laff" / name).measures for name in ("best", "average"))
    assert best == {
        name: value for name, value in rows[int(np.argmax([row["MRR"] for row in rows]))].items() if name in best
    }
    assert average.keys() == best.keys() and average != best


@pytest.mark.parametrize(("rank", "order"), [(0, ["encode", "wait"]), (1, ["wait", "encode"])])
def test_the_first_worker_encodes_the_captions_and_the_others_wait_for_it(
    monkeypatch: pytest.MonkeyPatch, rank: int, order: list[str]
) -> None:
    done: list[str] = []
    workers = SimpleNamespace(first=rank == 0, wait=lambda: done.append("wait"))
    monkeypatch.setattr(run_module, "make_tables", lambda *_, **__: done.append("encode"))
    task = SimpleNamespace(runtime=SimpleNamespace(workers=workers, text_cache=None), recipe=None, data=None)
    run_module._Task._tables(task, [])  # type: ignore[arg-type]
    assert done == order


def test_a_training_says_what_it_trains_on(collection: TinyCollection, tmp_path: Path, capsys) -> None:
    assert train(collection, tmp_path / "laff", "--epochs", "1") == 0
    err = capsys.readouterr().err
    for line in (
        "train on 86 captions of 43 videos (captions)",
        "validate on 10 texts against 5 videos, by MRR",
        "video: one, two; text: bow",
        "laff: 0.0 M parameters",
    ):
        assert f"{line}\n" in err, line


@pytest.mark.parametrize(("models", "more"), [(3, ""), (4, " ...")])
def test_the_next_command_names_three_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], models: int, more: str
) -> None:
    monkeypatch.setattr(run_module, "train", lambda recipe, out, runtime: {"path": out.name})
    recipe = SimpleNamespace(reads_videos=False, architecture="laff")
    grid = {f"m{n}": recipe for n in range(models)}
    run_module.train_grid(grid, tmp_path, device="cpu", reporter=Reporter(quiet=False))  # type: ignore[arg-type]
    err = capsys.readouterr().err
    assert f"--checkpoint m0 --checkpoint m1 --checkpoint m2{more} -o lists/" in err
    assert f"model {models} of {models}: m{models - 1}" in err


@pytest.mark.parametrize("legacy", [False, True])
def test_legacy_reaches_the_model(collection: TinyCollection, tmp_path: Path, legacy: bool) -> None:
    recipe = tmp_path / "recipe.yaml"
    features = ", ".join(str(store) for store in collection.stores)
    recipe.write_text(f"""
collections: {{tiny: {{captions: {collection.captions}, features: [{features}]}}}}
text: [bow]
legacy: {str(legacy).lower()}
model: {{architecture: laff, heads: 2, head_dim: 8}}
training: {{epochs: 1, batch_size: 32}}
""")
    assert main(["train-laff", "--config", str(recipe), "-o", str(tmp_path / "laff")]) == 0
    assert read_checkpoint(tmp_path / "laff").config["legacy"] is legacy
