"""avs train-clip4clip on videos: what frames it sees, what the checkpoint says, what is left out and refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import make_store, shot_ids
from tiny_videos import write_collection

from avs.cli.main import main
from avs.features.embedder import load_embedder, read_spec
from avs.metrics.text_to_video import RetrievalScores, rank_videos
from avs.models.batch import Batch, Sequences
from avs.pipeline.search.trained import load_trained
from avs.train.checkpoint import read_checkpoint
from avs.train.record import read_metrics
from avs.video.frame_cache import FrameCache
from avs.video.sampling import NO_LIMIT

WORDS = ["a red car", "two dogs run on the grass", "a woman", "blue sky", "a tree in the wind"]
FILMS = 4
CACHE = "clips-2fps-64px-q90"


def write_captions(folder: Path, films: int = FILMS) -> None:
    shots = [f"shot{film:05d}_{n}" for film in range(1, films + 1) for n in (1, 2, 3)]
    lines = (f"{shot}#{n} {WORDS[(i + n) % 5]} {i}\n" for i, shot in enumerate(shots) for n in range(2))
    (folder / "c.txt").write_text("".join(lines))


def write_recipe(folder: Path, name: str = "r.yaml", *, frames: str = "cache: cache", **more: str) -> Path:
    """A recipe of the tiny videos; `more` are sections of YAML."""
    sections = {
        "collections": "{clips: {captions: c.txt, videos: videos, shots: shots.tsv}}",
        "frames": f"{{fps: 2, {frames}}}",
        "model": "{architecture: clip4clip, backbone: mini-clip, max_frames: 3, max_words: 9, backbone_ratio: 1}",
        "training": "{epochs: 2, batch_size: 8, learning_rate: 1.0e-3}",
        "validation": "{share: 0.5}",
    }
    path = folder / name
    path.write_text("".join(f"{key}: {text}\n" for key, text in (sections | more).items()))
    return path


def train(recipe: Path, out: str, *more: str) -> int:
    return main(["train-clip4clip", "--config", recipe.name, "-o", out, *more])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos, captions, and a seqTransf trained on their frames."""
    folder = tmp_path_factory.mktemp("pixels")
    write_collection(folder, FILMS)
    write_captions(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train(write_recipe(folder), "trained", "--head", "seqTransf", "--quiet") == 0
    return folder


@pytest.fixture
def here(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the work, as the current folder."""
    shutil.copytree(work, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def refused(capsys: pytest.CaptureFixture[str], *command: str, code: int = 2) -> str:
    assert main(list(command)) == code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


def test_all_of_the_clip_is_trained_and_the_checkpoint_says_what_it_reads(work: Path) -> None:
    checkpoint = read_checkpoint(work / "trained")
    assert checkpoint.sampling == {
        "policy": "interval",
        "interval_s": 0.5,
        "frames": NO_LIMIT,
        "choice": {"frames": 3, "policy": "linspace", "order": "normal"},
    }
    (spec,) = checkpoint.video_features.values()
    own = read_spec("clip", weights=work / "trained/best/backbone")
    assert list(checkpoint.video_features) == ["trained/frame"] and checkpoint.config["video_frames"] == {
        "trained/frame": 0
    }
    assert spec == replace(own, name="trained", normalised=False)
    before, after = load_embedder("mini-clip"), load_embedder("clip", weights=work / "trained/best/backbone")
    image = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    assert np.abs(before.encode_images(image) - after.encode_images(image)).max() > 1e-4
    assert main(["info", str(work / "trained"), "--verify"]) == 0


def test_a_test_sees_the_first_and_last_frames_of_the_cache(work: Path) -> None:
    cache, trained = FrameCache(work / "cache" / CACHE), load_trained(read_checkpoint(work / "trained"))
    shots = trained.checkpoint.selected_on
    captions = [line.split(" ", 1) for line in (work / "c.txt").read_text().splitlines()]
    chosen = [(name.split("#")[0], text) for name, text in captions if name.split("#")[0] in shots]
    frames = np.stack([cache.decode(row, [0, 1, 3]) for row in cache.index(shots).tolist()])  # linspace(0, 3, 3)
    lengths = torch.full((len(shots),), 3)
    with torch.inference_mode():
        videos = trained.model.embed_videos(Batch({}, {"trained/frame": Sequences(torch.from_numpy(frames), lengths)}))
    texts = trained.embed([text for _, text in chosen], [str(n) for n in range(len(chosen))])
    scores = trained.model.score(texts, videos).numpy()
    ranking = rank_videos(scores, np.array([shots.index(shot) for shot, _ in chosen]))
    measured = {name: RetrievalScores.of(ranking).measures[name] for name in trained.checkpoint.measures}
    assert measured == pytest.approx(dict(trained.checkpoint.measures))


def test_a_finished_cache_serves_the_next_training_and_losses_are_the_same(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(Path("r.yaml"), "again", "--head", "seqTransf") == 0
    said = capsys.readouterr().err
    assert f"up to date: cache/{CACHE}" in said and "at most 3 frames, at 2 a second, linspace, normal order" in said
    assert "next: avs extract-features --videos VIDEOS --shots SHOTS --model again" in said
    one, other = (read_metrics(here / name) for name in ("trained", "again"))
    assert [row["loss"] for row in one] == [row["loss"] for row in other]
    assert train(Path("r.yaml"), "trained", "--head", "seqTransf") == 0
    assert "up to date: trained" in capsys.readouterr().err


@pytest.mark.parametrize("cache", ["cache: other, max_failed: 0.3", "cache: none, max_failed: 0.3"])
def test_videos_without_a_frame_are_left_out_counted_and_named(
    here: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "videos/00002.mp4").unlink()
    recipe = write_recipe(
        here, "x.yaml", frames=cache, validation="{share: 0.3}", training="{epochs: 1, batch_size: 8}"
    )
    assert train(recipe, "x") == 0
    said = capsys.readouterr().err
    lost = [int(line.split("left out ")[1].split()[0]) for line in said.splitlines() if "clips: left out" in line]
    assert sum(lost) == 6 and "shot00002_1" in said  # in the part that is trained on, and in the part held out
    left = read_checkpoint(here / "x").selected_on
    assert not {"shot00002_1", "shot00002_2", "shot00002_3"} & set(left)
    recipe = write_recipe(here, "y.yaml", frames=cache.replace("0.3", "0.2").replace("other", "another"))
    assert "max_failed of 0.25" in refused(capsys, "train-clip4clip", "--config", "y.yaml", "-o", "y", code=1)
    assert not (here / "y").exists()


def test_pixels_go_on_from_a_checkpoint_with_other_frames(here: Path) -> None:
    recipe = write_recipe(here, "x.yaml", frames="policy: random, order: reversed, cache: none", model="{}")
    recipe.write_text(recipe.read_text() + "start_from: trained\n")
    assert train(recipe, "tuned", "--epochs", "1") == 0
    tuned = read_checkpoint(here / "tuned")
    assert list(tuned.video_features) == ["tuned/frame"] and tuned.config["head"] == "seqTransf"
    assert tuned.sampling["choice"] == {"frames": 3, "policy": "linspace", "order": "reversed"}


@pytest.mark.parametrize("normalised", [True, False])
def test_pixels_go_on_from_frozen_frames_of_their_own_length(
    here: Path, normalised: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(0).standard_normal((2 * 12, 128)).astype(np.float32)
    rows *= (1 if normalised else 9) / np.linalg.norm(rows, axis=1, keepdims=True)
    spec = replace(read_spec("mini-clip"), normalised=normalised)
    make_store(here / "mini-clip/frame", rows, lengths=np.full(12, 2), spec=spec)
    (here / "s.txt").write_text("".join(f"{shot}#0 {WORDS[n % 5]}\n" for n, shot in enumerate(shot_ids(12))))
    stored = write_recipe(here, "s.yaml", collections="{clips: {captions: s.txt, features: [mini-clip/frame]}}")
    stored.write_text("".join(line for line in stored.read_text().splitlines(True) if not line.startswith("frames")))
    assert train(stored, "frozen", "--epochs", "1") == 0
    recipe = write_recipe(here, "x.yaml", model="{}")
    recipe.write_text(recipe.read_text() + "start_from: frozen\n")
    capsys.readouterr()
    assert train(recipe, "tuned", "--epochs", "1") == (2 if normalised else 0)
    if normalised:
        assert "has seen frames of length 1" in capsys.readouterr().err
    else:
        assert read_checkpoint(here / "tuned").config["video_frames"] == {"tuned/frame": 0}


def test_judged_topics_choose_the_epoch_over_the_frames_of_their_videos(here: Path) -> None:
    (here / "topics.txt").write_text("901 a red car\n902 a woman and a tree\n")
    (here / "qrels").write_text("901 0 shot00001_1 1 1\n901 0 shot00003_2 1 0\n902 0 shot00002_2 1 1\n")
    judged = "{topics: topics.txt, qrels: qrels, videos: videos, shots: shots.tsv}"
    assert train(write_recipe(here, "x.yaml", validation=judged), "judged", "--epochs", "1") == 0
    assert 0 < read_checkpoint(here / "judged").measures["xinfAP"] <= 1


def test_the_axes_of_a_grid_may_be_frames(here: Path) -> None:
    axes = "{frames: {policy: [head, tail], fps: [2, 4]}, model: {loss: [cross-entropy, margin]}}"
    assert train(write_recipe(here, "x.yaml", grid=axes), "grid", "--epochs", "1") == 0
    folders = sorted(path.name for path in (here / "grid").iterdir() if path.name != ".text-features")
    assert len(folders) == 8 and "loss-margin.policy-tail.fps-4" in folders
    one = read_checkpoint(here / "grid/loss-margin.policy-tail.fps-4")
    assert one.sampling["choice"]["policy"] == "tail" and one.sampling["interval_s"] == 0.25
    losses = {name: read_metrics(here / "grid" / name)[0]["loss"] for name in folders}
    assert len(set(losses.values())) == 8  # every axis changed what was trained


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        (
            {"collections": "\n  a: {captions: c.txt, videos: videos, shots: shots.tsv,\n    features: [mini]}"},
            "x.yaml:3: collections.a.features: Value error, give features or videos, not both",
        ),
        ({"collections": "{a: {captions: c.txt, videos: videos}}"}, "videos and shots go together"),
        ({"collections": "{a: {captions: c.txt}}"}, "give features, or videos and shots"),
        ({"collections": "{a: {captions: c.txt, features: [mini]}}"}, "frames are for collections that give videos"),
        ({"frames": "policy: lins, order: back"}, "is one of linspace, head, tail, random, jittered, got"),
        ({"frames": "size: 32"}, "frames of another size than the backbone takes"),
        ({"grid": "{frames: {speed: [1]}}"}, "speed"),
        ({"video": "[clip]"}, "video: names of features are for collections that give features"),
        ({"text": "[{kind: clip-tokens, tokenizer: other}]"}, "the tokenizer is not that of the backbone"),
        ({"model": "{backbone: mini-clip, max_frames: 500, head: seqTransf, max_words: 99}"}, "max_words: got 99"),
        ({"model": "{backbone: mini-clip, patches: 3d, max_frames: 1}"}, "patches: got 3d with max_frames 1"),
        ({"model": "{backbone: mini-clip, loss: margin, margin: 0}"}, "margin: got 0"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_before_a_cache_is_made(
    here: Path, sections: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / "trained/best/backbone", here / "other")
    tokenizer = json.loads((here / "other/tokenizer.json").read_text())
    known = tokenizer["model"]["vocab"]
    known["car</w>"], known["blue</w>"] = known["blue</w>"], known["car</w>"]
    (here / "other/tokenizer.json").write_text(json.dumps(tokenizer))
    shutil.rmtree(here / "cache")
    write_recipe(here, "x.yaml", **sections)
    assert said in refused(capsys, "train-clip4clip", "--config", "x.yaml", "-o", "x")
    assert not list(here.rglob("*.jpegs"))


def test_a_cache_of_other_videos_is_refused_and_none_is_replaced(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copyfile(here / "videos/00001.mp4", here / "videos/00004.mp4")
    before = (here / "cache" / CACHE / "manifest.json").read_text()
    said = refused(capsys, "train-clip4clip", "--config", "r.yaml", "-o", "x")
    assert "a frame cache of other videos, or one that was changed, is in the way" in said and "inputs.videos" in said
    assert (here / "cache" / CACHE / "manifest.json").read_text() == before


def test_options_alone_train_on_videos_and_other_models_cannot(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train-clip4clip", "--backbone", "mini-clip", "--captions", "c.txt", "--epochs", "1", "-o", "m"]
    assert "go together" in refused(capsys, *line, "--videos", "videos", "--shots", "shots.tsv", "--store", "x")
    assert "videos and shots go together" in refused(capsys, *line, "--videos", "videos")
    videos = ["--videos", "videos", "--shots", "shots.tsv", "--frame-cache", "none"]
    assert main([*line, *videos, "--batch-size", "8", "--max-frames", "2"]) == 0
    assert not (here / "m/.frames").exists()
    assert json.loads((here / "m/manifest.json").read_text())["config"]["frames"]["jpeg"] is False
    laff = write_recipe(here, "x.yaml", model="{architecture: laff}")
    assert "laff reads feature stores" in refused(capsys, "train-laff", "--config", str(laff), "-o", "y")
