"""`avs extract-features --model CHECKPOINT`, and what the stores are good for: searching, evaluating, training on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import end_by, started, wait_until
from tiny_checkpoints import DIM, make_clip
from tiny_models import SAMPLING, make_trained
from tiny_videos import write_collection

import avs
from avs.cli.main import main
from avs.core.artifacts import Manifest, read_manifest
from avs.core.errors import ConfigError, DataError
from avs.core.registry import Registry
from avs.core.shots import read_shot_table
from avs.core.spec import EmbedderSpec
from avs.core.store import FeatureStore
from avs.features import embedder
from avs.features.embedder import load_embedder, load_embedder_for, read_spec
from avs.models.batch import Batch, Sequences
from avs.pipeline.search.trained import load_trained
from avs.train.checkpoint import CHECKPOINT_TYPE, read_checkpoint, write_checkpoint
from avs.trecvid.trec import read_trec
from avs.video.folder import VideoFolder
from avs.video.frame_cache import FrameCache

HEADS = ("meanP", "seqLSTM", "seqTransf")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films, shots, topics, a CLIP, and models.

    They were trained on pixels (`HEAD`), on unit vectors (`HEAD-vectors`), or on vectors of raw length (`HEAD-raw`).
    """
    root = tmp_path_factory.mktemp("models")
    write_collection(root)
    clip = make_clip(root / "clip")
    for head in HEADS:
        make_trained(root / head, clip, head=head)
        sampling = SAMPLING | {"decoder": "PyAV"}  # as of the store that it was trained on
        make_trained(root / f"{head}-vectors", clip, head=head, pixels=False, sampling=sampling)
        make_trained(root / f"{head}-raw", clip, head=head, pixels=False, unit_length=False, sampling=sampling)
    (root / "topics.txt").write_text("901 a red car\n902 two dogs\n903 sky\n")
    return root


def extract(work: Path, output: Path, *more: object) -> list[str]:
    where = ["--videos", str(work / "videos"), "--shots", str(work / "shots.tsv"), "-o", str(output)]
    return ["extract-features", *where, "--workers", "0", "--store-dtype", "float32", "--quiet", *map(str, more)]


def search(work: Path, out: Path, *more: object) -> list[str]:
    return ["search", "--topics", str(work / "topics.txt"), "-o", str(out), "--quiet", *map(str, more)]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("kind", ["", "-vectors", "-raw"])
def test_a_search_of_its_shots_ranks_as_a_search_of_its_frames(
    work: Path, tmp_path: Path, head: str, kind: str
) -> None:
    model = work / f"{head}{kind}"
    assert main(extract(work, tmp_path, "--model", model)) == 0
    shot, frame = (FeatureStore(tmp_path / model.name / level) for level in ("shot", "frame"))
    chosen = 3 if kind == "" else 4  # of a model that was trained on pixels the frame-level store has what it chooses
    assert shot.vectors.shape == (9, DIM) and frame.vectors.shape == (9 * chosen, DIM)
    assert main(search(work, tmp_path / "frames.trec", "--checkpoint", model, "--store", frame.folder)) == 0
    assert main(search(work, tmp_path / "shots.trec", "--store", shot.folder)) == 0
    by_frames, by_shots = (read_trec(tmp_path / f"{name}.trec").lists for name in ("frames", "shots"))
    assert list(by_frames) == list(by_shots)
    for topic, ranked in by_frames.items():
        assert ranked.shots == by_shots[topic].shots
        np.testing.assert_allclose(ranked.scores, by_shots[topic].scores, atol=2e-6)


def test_float16_stores_rank_to_three_digits(work: Path, tmp_path: Path) -> None:
    assert main(extract(work, tmp_path, "--model", work / "seqTransf", "--store-dtype", "float16")) == 0
    model, stores = work / "seqTransf", tmp_path / "seqTransf"
    assert main(search(work, tmp_path / "frames.trec", "--checkpoint", model, "--store", stores / "frame")) == 0
    assert main(search(work, tmp_path / "shots.trec", "--store", stores / "shot")) == 0
    by_frames, by_shots = (read_trec(tmp_path / f"{name}.trec").lists["902"] for name in ("frames", "shots"))
    scores = dict(zip(by_shots.shots, by_shots.scores, strict=True))
    for shot, score in zip(by_frames.shots, by_frames.scores, strict=True):
        assert score == pytest.approx(scores[shot], abs=1e-3)


@pytest.mark.parametrize("name", ["seqTransf", "seqTransf-vectors", "seqTransf-raw"])
def test_shots_alone_are_the_same_without_the_other_frames(work: Path, tmp_path: Path, name: str) -> None:
    assert main(extract(work, tmp_path / "both", "--model", work / name)) == 0
    assert main(extract(work, tmp_path / "shot", "--model", work / name, "--level", "shot")) == 0
    both, alone = (FeatureStore(tmp_path / part / name / "shot") for part in ("both", "shot"))
    np.testing.assert_allclose(both.vectors, alone.vectors, atol=2e-6)
    assert both.spec == alone.spec and both.manifest["fingerprint"] == alone.manifest["fingerprint"]
    assert not (tmp_path / "shot" / name / "frame").exists()
    assert main(extract(work, tmp_path / "shot", "--model", work / name)) == 0  # the frames are added
    frames = [FeatureStore(tmp_path / part / name / "frame").vectors for part in ("both", "shot")]
    np.testing.assert_array_equal(*frames)


def test_the_frames_are_those_that_the_model_was_trained_on(work: Path, tmp_path: Path) -> None:
    models = ["--model", work / "meanP", "--model", work / "meanP-vectors", "--model", "clip"]
    assert main(extract(work, tmp_path, *models, "--weights", f"clip={work / 'clip'}", "--level", "frame")) == 0
    own, vectors, clip = (FeatureStore(tmp_path / name / "frame") for name in ("meanP", "meanP-vectors", "clip"))
    assert own.spec == read_checkpoint(work / "meanP").video_features["meanP/frame"]
    backbone = load_embedder("clip", weights=work / "meanP/backbone", unit_length=False)
    np.testing.assert_allclose(own.frames("shot00001_1"), _encoded(work, backbone)[[0, 1, 3]], atol=1e-5)
    assert vectors.spec == clip.spec and vectors.manifest["fingerprint"] == clip.manifest["fingerprint"]
    np.testing.assert_allclose(vectors.vectors, clip.vectors, atol=1e-6)
    assert "checkpoint" in own.manifest["inputs"]


def _pictures(work: Path) -> np.ndarray:
    """(4, H, W, 3) frames of the first shot."""
    shot = next(iter(read_shot_table(work / "shots.tsv")))
    (frames,) = VideoFolder({"00001": work / "videos/00001.mp4"}).read("00001", [shot])
    return frames.data


def _encoded(work: Path, encoder) -> np.ndarray:  # type: ignore[no-untyped-def]
    vectors: np.ndarray = encoder.encode_images(encoder.preprocess(_pictures(work)))
    return vectors


def test_a_shot_is_what_a_test_of_the_training_sees(work: Path, tmp_path: Path) -> None:
    """Frames 0, 1 and 3 of 4, in another order if the training chose one."""
    sampling = SAMPLING | {"choice": {"frames": 3, "policy": "linspace", "order": "reversed"}}
    make_trained(tmp_path / "back", work / "clip", head="seqTransf", sampling=sampling)
    make_trained(tmp_path / "tail", work / "clip", head="seqTransf", sampling=_choosing(2, "tail"))
    make_trained(tmp_path / "deep", work / "clip", head="seqTransf", patches="3d")
    images = load_embedder("clip", weights=work / "clip").preprocess(_pictures(work))
    for name, places in (("back", [3, 1, 0]), ("tail", [2, 3]), ("deep", [0, 1, 3])):
        for out, more in (("both", []), ("shot", ["--level", "shot"])):
            assert main(extract(work, tmp_path / out, "--model", tmp_path / name, *more)) == 0
            model = load_trained(read_checkpoint(tmp_path / name)).model
            frames = Batch(sequences={f"{name}/frame": Sequences(images[None, places], torch.tensor([len(places)]))})
            with torch.inference_mode():
                wanted = model.embed_videos(frames)[0].numpy()
            found = FeatureStore(tmp_path / out / name / "shot").rows(["shot00001_1"])[0]
            np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert FeatureStore(tmp_path / "both/tail/frame").vectors.shape == (18, DIM)
    for name in ("back", "tail"):
        line = ["--checkpoint", tmp_path / name, "--store", tmp_path / "both" / name / "frame"]
        assert main(search(work, tmp_path / "frames.trec", *line, "--force")) == 0
        line = ["--store", tmp_path / "both" / name / "shot", "--force"]
        assert main(search(work, tmp_path / "shots.trec", *line)) == 0
        lists = [read_trec(tmp_path / f"{level}.trec").lists["901"] for level in ("frames", "shots")]
        assert lists[0].shots == lists[1].shots
        np.testing.assert_allclose(lists[0].scores, lists[1].scores, atol=2e-6)


def _choosing(frames: int, policy: str) -> dict[str, object]:
    return SAMPLING | {"choice": {"frames": frames, "policy": policy, "order": "normal"}}


def test_stores_of_different_choices_are_of_different_encoders(work: Path, tmp_path: Path) -> None:
    specs: list[EmbedderSpec] = []
    ways = [{}, {"sampling": _choosing(2, "linspace")}, {"max_frames": 2}, {"seed": 1}, {"head": "seqLSTM"}]
    for number, options in enumerate([*ways, {"pixels": False}, {"pixels": False, "unit_length": False}]):
        folder = make_trained(tmp_path / str(number) / "model", work / "clip", **options)  # type: ignore[arg-type]
        specs.append(read_spec(str(folder)))
    assert len(set(specs)) == 7 and len({spec.name for spec in specs}) == 1
    assert specs[0].trained == "clip4clip: 3 frames, linspace, normal, of interval 0.5 s; 20 words"
    moved = shutil.copytree(tmp_path / "0", tmp_path / "moved")
    assert read_spec(str(moved / "model")) == specs[0]


def test_tight_similarities_have_frames_and_no_shots(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tight, deep = make_trained(tmp_path / "tight", work / "clip", head="tightTransf"), tmp_path / "deep"
    make_trained(deep, work / "clip", patches="3d")
    assert main(extract(work, tmp_path, "--model", tight, "--model", deep)) == 0
    made = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob("*/*/vectors.npy"))
    assert made == ["deep/shot", "tight/frame"]
    assert main(extract(work, tmp_path / "x", "--model", tight, "--level", "shot")) == 2
    assert "a shot has no vector of its own" in capsys.readouterr().err
    assert main(extract(work, tmp_path / "x", "--model", deep, "--level", "frame")) == 2
    assert "a single frame has no vector" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_frames_of_a_model_are_not_searched_with_sentences_alone(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(extract(work, tmp_path, "--model", work / "meanP")) == 0
    assert main(search(work, tmp_path / "x.trec", "--store", tmp_path / "meanP/frame")) == 2
    assert f"--checkpoint {work / 'meanP'}" in capsys.readouterr().err
    assert main(search(work, tmp_path / "x.trec", "--store", tmp_path / "meanP/shot")) == 0
    line = ["rerank", str(tmp_path / "x.trec"), "--topics", str(work / "topics.txt"), "--method", "clip"]
    line += ["--alpha", "0.5", "--store", str(tmp_path / "meanP/frame"), "-o", str(tmp_path / "y.trec")]
    assert main(line) == 2
    assert f"--checkpoint {work / 'meanP'}" in capsys.readouterr().err


def test_the_demo_takes_encoders_of_the_catalog(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["demo", "--videos", str(work / "videos"), "--model", str(work / "meanP"), "-o", str(tmp_path / "demo")]
    assert main(line) == 2
    assert "encoders of the catalog, not with trained models" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--interval", "1"], "interval_s: the checkpoint decides which frames are read"),
        (["--policy", "head", "--frames", "3"], "frames, policy: the checkpoint decides"),
        (["--skip-similar", "4"], "skip_similar: the checkpoint decides"),
        (["--weights", "w", "--raw-length"], "--raw-length is for encoders of the catalog"),
        (["--backend", "lavis"], "--backend is for encoders of the catalog"),
        (["--pooling", "projection"], "--pooling is for encoders of the catalog"),
        (["--device", "cuda:9"], "cuda"),
        (["--compute-dtype", "float16"], "float16 is not computed on a CPU"),
    ],
)
def test_options_that_the_checkpoint_decides(
    work: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(extract(work, tmp_path / "x", "--model", work / "meanP", *more)) in (2, 3)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_frames_farthest_apart_are_for_search_without_a_model(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--model", "clip", "--weights", work / "clip", "--level", "keep:2", "--level", "frame", "--raw-length"]
    assert main(extract(work, tmp_path / "features", *own)) == 0
    keep, every = (FeatureStore(tmp_path / "features/clip" / level) for level in ("keep-2", "frame"))
    assert keep.manifest["config"]["keep"] == 2 and len(keep.vectors) == 2 * len(keep) < len(every.vectors)
    topics = tmp_path / "lists/keep.trec"
    assert main(search(work, topics, "--store", keep.folder, "--frame-score", "max")) == 0
    assert main(["info", str(keep.folder)]) == 0
    assert "frame level, the 2 of a shot farthest apart" in capsys.readouterr().out
    assert main(search(work, tmp_path / "x.trec", "--checkpoint", work / "meanP-raw", "--store", keep.folder)) == 2
    assert "keeps the 2 frames of a shot that are farthest apart" in capsys.readouterr().err
    assert main(extract(work, tmp_path / "out", "--model", work / "meanP", "--level", "keep:2")) == 2
    assert "a store cannot keep others" in capsys.readouterr().err
    assert main(extract(work, tmp_path / "out", "--model", "clip", "--weights", work / "clip", "--level", "keep")) == 2
    assert 'unknown level "keep"' in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_checkpoint_that_does_not_say_its_frames_needs_the_options(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = make_trained(tmp_path / "old", work / "clip", sampling={})
    assert main(extract(work, tmp_path, "--model", old)) == 2
    assert "say it, such as --interval 1" in " ".join(capsys.readouterr().err.split())
    for more in (["--policy", "keyframes"], ["--interval", "0.5", "--skip-similar", "4"]):
        assert main(extract(work, tmp_path, "--model", old, *more)) == 2
        assert "neither --policy keyframes nor --skip-similar" in " ".join(capsys.readouterr().err.split())
    assert main(extract(work, tmp_path, "--model", old, "--interval", "0.5")) == 0
    assert main(extract(work, tmp_path / "new", "--model", work / "meanP")) == 0
    shots = [FeatureStore(tmp_path / "old/shot"), FeatureStore(tmp_path / "new/meanP/shot")]
    np.testing.assert_array_equal(shots[0].vectors, shots[1].vectors)
    assert main(search(work, tmp_path / "x.trec", "--store", shots[0].folder)) == 0


def test_a_backbone_that_is_not_the_one_of_the_frames_is_noticed(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = read_checkpoint(make_trained(tmp_path / "odd", work / "clip"))
    (spec,) = model.video_features.values()
    frames = {"odd/frame": replace(spec, revision="sha256:other")}
    weights = model.load_model().state_dict()
    write_checkpoint(replace(model, video_features=frames), weights, Manifest(type=CHECKPOINT_TYPE))
    assert main(extract(work, tmp_path, "--model", tmp_path / "odd")) == 2
    said = capsys.readouterr().err
    assert "is not the one whose frames the model reads" in said and "revision=sha256:other" in said


def test_names_that_clash(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = make_trained(tmp_path / "mini-clip", work / "clip")
    assert main(extract(work, tmp_path / "x", "--model", named)) == 2
    assert "rename its folder" in capsys.readouterr().err
    second = make_trained(tmp_path / "meanP", work / "clip", seed=1)
    assert main(extract(work, tmp_path / "x", "--model", work / "meanP", "--model", second)) == 2
    assert "rename one of two that are equal" in capsys.readouterr().err
    assert main(extract(work, tmp_path / "x", "--model", work / "meanQ")) == 2
    assert f"did you mean {work / 'meanP'}" in capsys.readouterr().err
    assert main(extract(work, tmp_path / "x", "--model", work / "clip")) == 2
    assert "--weights FOLDER" in capsys.readouterr().err
    assert main(extract(work, tmp_path / "x", "--model", work / "videos")) == 2
    assert "not a checkpoint" in capsys.readouterr().err


@pytest.fixture()
def extracted(work: Path, tmp_path: Path) -> Path:
    """A folder with a model of its own, `model`, and its stores in `features/model`."""
    shutil.copytree(work / "seqTransf-vectors", tmp_path / "model")
    assert main(extract(work, tmp_path / "features", "--model", tmp_path / "model")) == 0
    return tmp_path


def test_a_model_that_is_gone_or_elsewhere(work: Path, extracted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = search(work, extracted / "x.trec", "--store", extracted / "features/model/shot")
    assert main(line) == 0
    (extracted / "model").rename(extracted / "renamed")
    (extracted / "x.trec").unlink()
    assert main(line) == 2
    said = capsys.readouterr().err
    assert "the trained model model is not where it was" in said and "--weights FOLDER" in said
    assert main([*line, "--weights", str(extracted / "renamed")]) == 0
    (extracted / "x.trec").unlink()
    assert main([*line, "--weights", str(work / "meanP-vectors")]) == 2
    assert "the folder holds another model" in capsys.readouterr().err
    assert main([*line, "--weights", str(work / "clip")]) == 2
    assert "not a checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "keeps_its_time"),
    [("model.safetensors", False), ("model.safetensors", True), ("backbone/tokenizer_config.json", False)],
)
def test_a_model_of_which_a_byte_has_changed(
    work: Path, extracted: Path, file: str, keeps_its_time: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = extracted / "model" / file
    before, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    if keeps_its_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert main(search(work, extracted / "x.trec", "--store", extracted / "features/model/shot")) == 2
    said = capsys.readouterr().err
    assert ("another model" if keeps_its_time else file) in said
    assert not (extracted / "x.trec").exists()


def test_sentences_are_cut_as_in_training_and_said(extracted: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_embedder_for(FeatureStore(extracted / "features/model/shot").spec)
    short, long = " ".join("a" * 18), " ".join("a" * 18 + "b")
    vectors = encoder.encode_texts([short, long, "b"], batch_size=2)
    assert caplog.text.count("text cut") == 1 and long in caplog.text
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-3
    wanted = load_trained(read_checkpoint(extracted / "model")).embed([short, "b"], ["1", "2"])
    np.testing.assert_allclose(vectors[[0, 2]], wanted.numpy(), atol=1e-6)
    with pytest.raises(DataError, match="1 of 2 texts are empty"):
        encoder.encode_texts(["a", " "])


def test_retrieval_python_and_info_take_the_store_as_any_other(
    work: Path, extracted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = FeatureStore(extracted / "features/model/shot")
    lines = (f"{shot}#0 {'abcdefghi'[n]}\n" for n, shot in enumerate(store.ids))
    (extracted / "c.txt").write_text("".join(lines))
    line = ["eval-retrieval", "--captions", str(extracted / "c.txt"), "--directions", "t2v", "--quiet"]
    found = []
    for how in (["--store", str(store.folder)], ["--checkpoint", str(extracted / "model")]):
        frames = [] if how[0] == "--store" else ["--store", str(extracted / "features/model/frame")]
        assert main([*line, *how, *frames]) == 0
        found.append([row.split("\t")[1:] for row in capsys.readouterr().out.splitlines()])
    assert found[0] == found[1]
    (run,) = avs.search([store.folder], "a red car").values()
    assert run.tag == "model-shot" and len(run.lists["query"].shots) == 9
    assert main(["info", str(store.folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["spec"]["trained"].startswith("clip4clip: 3 frames") and facts["spec"]["pooling"] == "seqTransf"
    assert main(["info", str(store.folder), "--verify"]) == 0
    assert main(["info", str(store.folder), "--provenance"]) == 0
    assert "checkpoint:" in capsys.readouterr().out


def test_without_the_pipeline_nothing_opens_trained_models(extracted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "encoder_sources", Registry("source of encoders"))
    with pytest.raises(ConfigError, match="import avs.pipeline.encoders"):
        load_embedder_for(FeatureStore(extracted / "features/model/shot").spec)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("name", ["seqTransf", "seqTransf-vectors"])
@pytest.mark.parametrize("level", [["--level", "shot"], []])
def test_cuda_computes_the_same(work: Path, tmp_path: Path, name: str, level: list[str]) -> None:
    for device in ("cpu", "cuda"):
        assert main(extract(work, tmp_path / device, "--model", work / name, "--device", device, *level)) == 0
    cpu, cuda = (FeatureStore(tmp_path / device / name / "shot") for device in ("cpu", "cuda"))
    np.testing.assert_allclose(cpu.vectors, cuda.vectors, atol=1e-3)
    texts = [load_embedder_for(cpu.spec, device=device).encode_texts(["a red car"]) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*texts, atol=1e-3)


def test_rerankers_compare_with_its_text_side(work: Path, extracted: Path) -> None:
    store = str(extracted / "features/model/shot")
    assert main(search(work, extracted / "list.trec", "--store", store)) == 0
    line = ["rerank", str(extracted / "list.trec"), "--topics", str(work / "topics.txt"), "--method", "clip"]
    assert main([*line, "--alpha", "0.5", "--store", store, "-o", str(extracted / "r.trec"), "--quiet"]) == 0
    lists = [read_trec(extracted / name).lists["901"].shots for name in ("list.trec", "r.trec")]
    assert lists[0] == lists[1]  # its own evidence changes nothing


def test_shots_of_one_frame_and_shots_without_any(work: Path, tmp_path: Path) -> None:
    shots = [*(work / "shots.tsv").read_text().splitlines()[:3], "shot00001_4\t00001\t4.000000\t4.100000"]
    shots += ["shot00001_5\t00001\t90.000000\t92.000000", "shot00009_1\t00009\t0.000000\t2.000000"]
    (tmp_path / "shots.tsv").write_text("\n".join(shots) + "\n")
    for out, more in (("both", []), ("shot", ["--level", "shot"])):
        line = extract(work, tmp_path / out, "--model", work / "seqTransf", *more, "--max-failed", "1")
        line[line.index("--shots") + 1] = str(tmp_path / "shots.tsv")
        assert main(line) == 0
        store = FeatureStore(tmp_path / out / "seqTransf/shot")
        assert store.ids == ("shot00001_1", "shot00001_2", "shot00001_4")
        assert [problem.shot for problem in store.problems] == ["shot00001_5", "shot00009_1"]
        np.testing.assert_allclose(np.linalg.norm(store.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(
        *(FeatureStore(tmp_path / out / "seqTransf/shot").vectors for out in ("both", "shot")), atol=2e-6
    )


def test_models_of_stores_are_no_encoders(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(extract(work, tmp_path, "--model", "clip", "--weights", work / "clip")) == 0
    _write_captions(tmp_path, tmp_path / "clip/shot")
    assert main(train_laff(tmp_path, "laff", "--text", "bow", "--store", str(tmp_path / "clip/shot"))) == 0
    assert main(extract(work, tmp_path / "x", "--model", tmp_path / "laff")) == 2
    said = capsys.readouterr().err
    assert "reads feature stores and no videos" in said and "avs search --checkpoint" in said
    line = train_laff(tmp_path, "x", "--text", str(tmp_path / "laff"), "--store", str(tmp_path / "clip/shot"))
    assert main(line) == 2
    assert "reads feature stores and no videos" in capsys.readouterr().err


def _write_captions(folder: Path, store: Path) -> None:
    words = ["a red car", "two dogs", "sky"]
    lines = (f"{s}#{n} {words[(i + n) % 3]}\n" for i, s in enumerate(FeatureStore(store).ids) for n in range(5))
    (folder / "c.txt").write_text("".join(lines))


def train_laff(folder: Path, name: str, *more: str) -> list[str]:
    line = ["train-laff", "--captions", str(folder / "c.txt"), "--epochs", "1", "--batch-size", "8", "--quiet"]
    return [*line, "--head-dim", "8", "--heads", "1", *more, "-o", str(folder / name)]


@pytest.mark.parametrize("text", [[], ["--text", "model"], ["--text", "bow"]])
def test_laff_takes_it_as_video_and_as_text_feature(
    work: Path, extracted: Path, text: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(extracted)
    stores = extracted / "features/model"
    _write_captions(extracted, stores / "shot")
    more = ["--text", str(extracted / "model")] if text == ["--text", "model"] else text
    both = ["--store", str(stores / "shot"), "--store", str(stores / "frame")]
    assert main(train_laff(extracted, "laff", *more, *both)) == 0
    checkpoint = read_checkpoint(extracted / "laff")
    assert list(checkpoint.video_features) == ["model", "clip/frame"]
    names = {(): {"bow", "model", "clip"}, ("--text", "model"): {"model"}, ("--text", "bow"): {"bow"}}[tuple(text)]
    assert {feature["name"] for feature in checkpoint.text_features} == names
    line = ["search", "--topics", str(work / "topics.txt"), "--checkpoint", str(extracted / "laff"), "--quiet"]
    assert main([*line, *both, "-o", str(extracted / "x.trec")]) == 0
    if "model" in names:
        (extracted / "model").rename(extracted / "renamed")
        moved = ["--weights", str(extracted / "renamed"), "--weights", str(work / "clip")]
        assert main([*line, *both, *moved, "-o", str(extracted / "y.trec")]) == 0
        assert (extracted / "x.trec").read_text().replace(" x", "") == (
            (extracted / "y.trec").read_text().replace(" y", "")
        )


def test_of_two_stores_of_one_name_the_shots_have_the_text_side(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work / "meanP", tmp_path / "meanP")
    assert main(extract(work, tmp_path / "features", "--model", tmp_path / "meanP")) == 0
    stores = tmp_path / "features/meanP"
    _write_captions(tmp_path, stores / "shot")
    both = ["--store", str(stores / "shot"), "--store", str(stores / "frame")]
    assert main(train_laff(tmp_path, "laff", *both)) == 0
    checkpoint = read_checkpoint(tmp_path / "laff")
    assert list(checkpoint.video_features) == ["meanP", "meanP/frame"]
    assert [feature["name"] for feature in checkpoint.text_features] == ["bow", "meanP"]
    (tmp_path / "meanP").rename(tmp_path / "moved")
    moved = ["--weights", str(tmp_path / "moved"), "--weights", str(tmp_path / "moved/backbone")]
    line = search(work, tmp_path / "x.trec", "--checkpoint", tmp_path / "laff", *both)
    assert main(line) == 2
    assert main([*line, *moved]) == 0


def test_a_model_as_text_feature_alone(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(extract(work, tmp_path, "--model", "clip", "--weights", work / "clip")) == 0
    store = str(tmp_path / "clip/shot")
    _write_captions(tmp_path, tmp_path / "clip/shot")
    model = make_trained(tmp_path / "old", work / "clip", sampling={})  # whose frames nobody needs to know
    assert main(train_laff(tmp_path, "laff", "--text", str(model), "--store", store)) == 0
    assert read_manifest(tmp_path / "laff")["inputs"]["text tower old"] == read_spec(str(model)).revision
    assert main(train_laff(tmp_path, "x", "--text", str(tmp_path / "none"), "--store", store)) == 2
    assert f"no such checkpoint where: {tmp_path / 'none'}" in " ".join(capsys.readouterr().err.split())
    tight = make_trained(tmp_path / "tight", work / "clip", head="tightTransf")
    assert main(train_laff(tmp_path, "x", "--text", str(tight), "--store", store)) == 2
    assert "a shot has no vector of its own" in capsys.readouterr().err
    recipe = tmp_path / "r.yaml"
    entries = f"[{{kind: encoder, model: {work / 'meanP'}}}, {{kind: encoder, model: {tmp_path / 'meanP'}}}]"
    make_trained(tmp_path / "meanP", work / "clip", seed=1)
    recipe.write_text(f"text: {entries}\n")
    line = ["train-laff", "--config", str(recipe), "--captions", str(tmp_path / "c.txt"), "--store", store]
    assert main([*line, "-o", str(tmp_path / "x"), "--quiet"]) == 2
    assert "meanP is named twice; name each once, or rename the folder of one" in capsys.readouterr().err


def test_two_models_of_one_name_are_told_apart_by_their_folders(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_trained(tmp_path / "meanP", work / "clip", seed=1)
    assert main(extract(work, tmp_path / "a", "--model", work / "meanP", "--level", "shot")) == 0
    assert main(extract(work, tmp_path / "b", "--model", model, "--level", "shot")) == 0
    _write_captions(tmp_path, tmp_path / "a/meanP/shot")
    stores = [str(tmp_path / name / "meanP/shot") for name in "ab"]
    assert main(train_laff(tmp_path, "x", "--store", stores[0], "--store", stores[1])) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "two stores hold the feature meanP" in error
    assert "rename that of one model, and extract its store again" in error
    assert main(train_laff(tmp_path, "x", "--store", stores[0], "--store", stores[0])) == 2
    assert "give one of them" in capsys.readouterr().err


def test_what_to_do_with_the_frames_of_a_model_is_suggested(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_trained(tmp_path / "tight", work / "clip", head="tightTransf")
    pairs = "avs rerank LIST --topics TOPICS --method model --checkpoint {} --store {} -o lists/tight.trec"
    frames = "avs search --topics TOPICS --checkpoint {} --store {} -o lists/meanP{}.trec"
    cases = {
        work / "meanP": frames.format("{}", "{}", ""),
        work / "meanP-vectors": frames.format("{}", "{}", "-vectors"),
        tmp_path / "tight": pairs,
    }
    for model, wanted in cases.items():
        line = extract(work, tmp_path / "f", "--model", model, "--level", "frame")
        line.remove("--quiet")
        assert main(line) == 0
        store = tmp_path / "f" / model.name / "frame"
        assert f"next: {wanted.format(model, store)}" in capsys.readouterr().err
    line = extract(work, tmp_path / "g", "--model", work / "meanP", "--level", "frame", "--level", "shot")
    line.remove("--quiet")
    assert main(line) == 0
    assert f"--store {tmp_path / 'g/meanP/shot'} -o" in capsys.readouterr().err
    suggested = ["--checkpoint", work / "meanP", "--store", tmp_path / "f/meanP/frame"]
    assert main(search(work, tmp_path / "x.trec", *suggested)) == 0


@pytest.mark.parametrize("levels", [[], ["--level", "shot"]])
def test_a_killed_command_goes_on(work: Path, tmp_path: Path, levels: list[str]) -> None:
    def line(name: str) -> list[str]:
        return extract(work, tmp_path / name, "--model", work / "seqTransf", "--batch-size", "2", *levels)

    assert main(line("whole")) == 0
    slow = (  # the command itself, which stops after some parts so that the kill falls between two of them
        "import sys, time; from avs.core.store_parts import StoreParts\n"
        "write = StoreParts.write\n"
        "def slow(parts, job, part): write(parts, job, part); time.sleep(600 * (parts.done().sum() == 2))\n"
        "StoreParts.write = slow\n"
        "from avs.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    parts = tmp_path / "killed/seqTransf/shot/parts"
    with started(["-c", slow, *line("killed")]) as process:
        wait_until(lambda: (parts / "000001.part").exists(), process)
        end_by(process, signal.SIGKILL)
    assert main(line("killed")) == 0
    made = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.npy"))
    assert len(made) == (1 if levels else 4)  # vectors, and of frames their times and offsets
    for name in made:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name


def test_worker_processes_change_nothing(work: Path, tmp_path: Path) -> None:
    found = []
    for workers in ("0", "2"):
        line = extract(work, tmp_path / workers, "--model", work / "seqTransf", "--level", "shot")
        line[line.index("--workers") + 1] = workers
        assert main(line) == 0
        found.append((tmp_path / workers / "seqTransf/shot/vectors.npy").read_bytes())
    assert found[0] == found[1]


def test_every_frame_is_decoded_and_encoded_once(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avs.features import encoders

    read, encoded = VideoFolder.read_each, encoders.ImageEncoder.encode_images
    videos, images = [], []

    def reading(self, video, shots, samplings):  # type: ignore[no-untyped-def]
        videos.append(video)
        return read(self, video, shots, samplings)

    def encoding(self, batch):  # type: ignore[no-untyped-def]
        images.append(len(batch))
        return encoded(self, batch)

    monkeypatch.setattr(VideoFolder, "read_each", reading)
    monkeypatch.setattr(encoders.ImageEncoder, "encode_images", encoding)
    assert main(extract(work, tmp_path, "--model", work / "meanP")) == 0
    assert videos == ["00001", "00002", "00003"] and sum(images) == 27
    again = ["--model", work / "meanP", "--model", work / "seqTransf", "--model", work / "meanP-vectors"]
    assert main(extract(work, tmp_path, *again)) == 0
    # meanP stands; a model that reads a store has all sampled frames in its own, so it sees more of the same decoding
    assert len(videos) == 6 and sum(images) == 27 * 2 + 36


def test_it_computes_in_bfloat16_too(work: Path, tmp_path: Path) -> None:
    for name, more in (("full", []), ("half", ["--compute-dtype", "bfloat16"])):
        for part, level in (("both", []), ("shot", ["--level", "shot"])):
            for model in ("seqTransf", "seqTransf-vectors"):
                assert main(extract(work, tmp_path / name / part, "--model", work / model, *more, *level)) == 0
    for part in ("both", "shot"):
        for model in ("seqTransf", "seqTransf-vectors"):
            full, half = (FeatureStore(tmp_path / n / part / model / "shot").vectors for n in ("full", "half"))
            assert 1e-5 < np.abs(full - half).max() < 0.05


@pytest.mark.parametrize("patches", ["2d", "3d"])
def test_from_videos_to_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patches: str) -> None:
    """A training on pixels, its store, a search: the vectors are those of the training, but for its JPEGs."""
    write_collection(tmp_path)
    monkeypatch.chdir(tmp_path)
    shots = [f"shot{film:05d}_{n}" for film in (1, 2, 3) for n in (1, 2, 3)]
    Path("c.txt").write_text("".join(f"{shot}#0 {'abcdefghi'[n]} car\n" for n, shot in enumerate(shots)))
    Path("topics.txt").write_text("901 a car\n")
    recipe = {
        "collections": "{clips: {captions: c.txt, videos: videos, shots: shots.tsv}}",
        "frames": "{fps: 2, cache: cache}",
        "model": f"{{architecture: clip4clip, backbone: mini-clip, max_frames: 3, max_words: 9, patches: {patches}}}",
        "training": "{epochs: 1, batch_size: 8}",
        "validation": "{share: 0.5}",
    }
    Path("r.yaml").write_text("".join(f"{key}: {text}\n" for key, text in recipe.items()))
    assert main(["train-clip4clip", "--config", "r.yaml", "--head", "seqTransf", "-o", "trained", "--quiet"]) == 0
    assert main(extract(Path(), Path("features"), "--model", "trained")) == 0
    store = FeatureStore(Path("features/trained/shot"))
    assert main(search(Path(), Path("shots.trec"), "--store", store.folder)) == 0
    (cache,) = Path("cache").iterdir()
    frames, trained = FrameCache(cache), load_trained(read_checkpoint(Path("trained")))
    pictures = np.stack([frames.decode(row, [0, 1, 3]) for row in frames.index(store.ids).tolist()])
    lengths = torch.full((len(store),), 3)
    with torch.inference_mode():
        videos = Batch(sequences={"trained/frame": Sequences(torch.from_numpy(pictures), lengths)})
        wanted = trained.model.embed_videos(videos).numpy()
    assert ((wanted * store.vectors).sum(axis=1) > 0.98).all()
    if patches == "2d":
        line = ["--checkpoint", "trained", "--store", "features/trained/frame"]
        assert main(search(Path(), Path("frames.trec"), *line)) == 0
        lists = [read_trec(Path(f"{name}.trec")).lists["901"] for name in ("frames", "shots")]
        assert lists[0].shots == lists[1].shots
        np.testing.assert_allclose(lists[0].scores, lists[1].scores, atol=2e-6)
