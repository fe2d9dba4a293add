"""`avs extract-features` as a user runs it: real small videos, tiny checkpoints, whole processes where it matters."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import end_by, started, wait_until
from tiny_checkpoints import DIM, make_blip, make_clip
from tiny_videos import write_collection, write_film

from avs.cli.main import main
from avs.core import artifacts
from avs.core.artifacts import Manifest, fingerprint_file, input_paths, read_manifest, write_manifest
from avs.core.store import FeatureStore
from avs.video.fingerprints import listing_fingerprint, read_videos, sizes_of_store


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos/, shots.tsv of 2 s shots, and a tiny checkpoint a family."""
    root = tmp_path_factory.mktemp("collection")
    write_collection(root)
    make_clip(root / "clip")
    make_blip(root / "blip")
    return root


def arguments(collection: Path, output: Path, *more: str) -> list[str]:
    where = ["--videos", str(collection / "videos"), "--shots", str(collection / "shots.tsv"), "-o", str(output)]
    model = [] if "--model" in more else ["--model", "clip", "--weights", str(collection / "clip")]
    return ["extract-features", *where, *model, "--workers", "0", *more]


def test_a_folder_of_weights_may_be_called_as_its_model(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collection)
    assert main(arguments(collection, tmp_path, "--model", "clip", "--weights", "clip", "--quiet")) == 0
    assert FeatureStore(tmp_path / "clip/shot").spec.weights == str(collection / "clip")


def test_stores_of_several_models_and_levels(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--model", "clip", "--model", "blip", "--weights", f"blip={collection / 'blip'}"]
    models += ["--weights", f"clip={collection / 'clip'}", "--level", "shot", "--level", "frame", "--json"]
    assert main(arguments(collection, tmp_path, *models)) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [(s["model"], s["level"], s["dim"]) for s in summary["stores"]] == [
        ("clip", "shot", DIM),
        ("clip", "frame", DIM),
        ("blip", "shot", DIM),
        ("blip", "frame", DIM),
    ]
    shot, frame = FeatureStore(tmp_path / "clip/shot"), FeatureStore(tmp_path / "clip/frame")
    assert len(shot) == len(frame) == 9 and shot.vectors.dtype == np.float16
    assert shot.vectors.shape == (9, DIM) and frame.vectors.shape == (36, DIM)  # 4 frames of a shot of 2 s
    config = shot.manifest["config"]
    assert config["sampling"] == {"policy": "interval", "interval_s": 0.5, "frames": None, "decoder": "PyAV"}
    assert config["shot_vector"] == "l2(mean of the frames' l2 vectors)"
    assert shot.manifest["counts"] == {"ok": 9, "partial": 0, "failed": 0}
    first, second = shot.rows(["shot00001_1", "shot00001_2"]).astype(np.float32)
    assert first @ second < 0.9999, "two different pictures have one vector"


def test_a_preview_says_which_shots_lack_a_key_frame(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shots of half a second, and key frames at 0, 1.2, 2, 3.2, 4 and 5.2 s."""
    lines = ["shot\tvideo\tstart_s\tend_s"]
    lines += [f"shot00001_{n + 1}\t00001\t{n / 2:.6f}\t{n / 2 + 0.5:.6f}" for n in range(12)]
    (tmp_path / "shots.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    words = ["--policy", "keyframes", "--level", "frame", "--json", "--shots", str(tmp_path / "shots.tsv")]
    assert main(arguments(collection, tmp_path / "here", *words)) == 0
    said = capsys.readouterr()
    store = FeatureStore(tmp_path / "here/clip/frame")
    assert store.manifest["config"]["sampling"] == {
        "policy": "keyframes", "interval_s": 0.5, "frames": None, "decoder": "PyAV",
    }  # fmt: skip
    counts = {"ok": 12, "partial": 0, "failed": 0, "without_key_frame": 6, "without_key_times": 0}
    assert store.manifest["counts"] == counts
    assert json.loads(said.out)["stores"][0]["counts"] == counts
    assert "12 ok, 0 partial, 0 failed shots;" in said.err
    assert f"{store.folder}: 6 of 12 shots have no key frame: the frame at their middle was decoded" in said.err
    assert store.pts_s is not None
    np.testing.assert_allclose(store.pts_s, [0, 0.7, 1.2, 1.7, 2, 2.7, 3.2, 3.7, 4, 4.7, 5.2, 5.7], atol=1e-6)
    assert main(arguments(collection, tmp_path / "workers", *words, "--workers", "2")) == 0
    for name in ("vectors.npy", "pts_s.npy", "offsets.npy", "ids.txt", "problems.tsv"):
        here, there = (tmp_path / run / "clip/frame" / name for run in ("here", "workers"))
        assert here.read_bytes() == there.read_bytes(), name


def test_similar_frames_are_not_encoded(collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The picture of a shot does not move."""
    whole, words = tmp_path / "whole", ["--level", "frame", "--level", "shot"]
    assert main(arguments(collection, whole, *words)) == 0
    assert "were not encoded" not in capsys.readouterr().err
    assert main(arguments(collection, tmp_path, *words, "--skip-similar", "20")) == 0
    every, some = FeatureStore(whole / "clip/frame"), FeatureStore(tmp_path / "clip/frame")
    assert some.manifest["config"]["sampling"]["skip_similar"] == 20.0
    assert (len(every.vectors), len(some.vectors)) == (36, 9)
    np.testing.assert_array_equal(some.vectors, every.vectors[::4])
    for level in ("shot", "frame"):
        counts = FeatureStore(tmp_path / "clip" / level).manifest["counts"]
        assert (counts["ok"], counts["sampled_frames"], counts["similar_frames"]) == (9, 36, 27)
    remark = "27 of 36 frames are similar to the one before and were not encoded"
    assert f"{tmp_path / 'clip/shot'}: {remark}" in capsys.readouterr().err
    assert main(arguments(collection, whole, *words, "--skip-similar", "20")) == 2
    assert "changed: config.sampling" in capsys.readouterr().err


def test_files_without_times_of_key_frames_are_said(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "videos").mkdir()
    write_film(tmp_path / "videos/00001.avi", seed=1)
    (tmp_path / "shots.tsv").write_text("shot\tvideo\tstart_s\tend_s\nshot00001_1\t00001\t0.0\t2.0\n")
    words = ["--videos", str(tmp_path / "videos"), "--shots", str(tmp_path / "shots.tsv"), "--policy", "keyframes"]
    assert main(arguments(collection, tmp_path, *words)) == 0
    why = "1 of 1 shots are in files that do not tell when key frames are on screen"
    assert why in capsys.readouterr().err


def test_a_store_knows_its_videos_and_notices_one_that_changed_within_its_size(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = shutil.copytree(collection, tmp_path / "mine")
    assert main(arguments(mine, tmp_path)) == 0
    videos = read_videos(tmp_path / "clip/shot/videos.tsv")
    assert [(v.video, v.file) for v in videos] == [(f"0000{n}", f"0000{n}.mp4") for n in (1, 2, 3)]
    assert videos[0].fingerprint == fingerprint_file(mine / "videos/00001.mp4")
    assert read_manifest(tmp_path / "clip/shot")["inputs"]["videos"] == listing_fingerprint(videos)
    assert input_paths(tmp_path / "clip/shot") == {"shots": mine / "shots.tsv", "videos": mine / "videos"}
    changed = mine / "videos/00003.mp4"
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    assert main(arguments(mine, tmp_path)) == 2
    assert "changed: inputs.videos" in capsys.readouterr().err


def test_a_store_made_before_videos_were_hashed_stands(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(collection, tmp_path)) == 0
    store = FeatureStore(tmp_path / "clip/shot")
    sizes = {f"0000{n}": collection / f"videos/0000{n}.mp4" for n in (1, 2, 3)}
    inputs = {**store.manifest["inputs"], "videos": sizes_of_store(sizes)}
    made = {name: store.manifest[name] for name in ("config", "spec", "counts")}
    write_manifest(store.folder, Manifest("feature-store", inputs=inputs, **made))
    (store.folder / "videos.tsv").unlink()
    before = (store.folder / "manifest.json").read_text()
    assert main(arguments(collection, tmp_path)) == 0
    assert f"up to date: {store.folder}" in capsys.readouterr().err
    assert (store.folder / "manifest.json").read_text() == before


def test_a_finished_command_says_so_and_changed_settings_need_force(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(collection, tmp_path)) == 0
    before = (tmp_path / "clip/shot/manifest.json").read_text()
    capsys.readouterr()
    assert main(arguments(collection, tmp_path)) == 0
    assert f"up to date: {tmp_path / 'clip/shot'}" in capsys.readouterr().err
    assert (tmp_path / "clip/shot/manifest.json").read_text() == before
    moved = shutil.copytree(collection / "clip", tmp_path / "moved")
    assert main(arguments(collection, tmp_path, "--model", "clip", "--weights", str(moved))) == 0
    assert main(arguments(collection, tmp_path, "--interval", "1")) == 2
    assert "got:    changed: config.sampling" in capsys.readouterr().err
    assert main(arguments(collection, tmp_path, "--interval", "1", "--force")) == 0
    store = FeatureStore(tmp_path / "clip/shot")
    assert store.manifest["config"]["sampling"]["interval_s"] == 1.0 and len(store) == 9


def test_a_killed_command_goes_on(collection: Path, tmp_path: Path) -> None:
    assert main(arguments(collection, tmp_path / "whole", "--batch-size", "2")) == 0
    slow = (  # the command itself, which stops after some parts so that the kill falls between two of them
        "import sys, time; from avs.core.store_parts import StoreParts\n"
        "write = StoreParts.write\n"
        "def slow(parts, job, part): write(parts, job, part); time.sleep(600 * (parts.done().sum() == 3))\n"
        "StoreParts.write = slow\n"
        "from avs.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    parts = tmp_path / "killed/clip/shot/parts"
    with started(["-c", slow, *arguments(collection, tmp_path / "killed", "--batch-size", "2")]) as process:
        wait_until(lambda: (parts / "000002.part").exists(), process)
        end_by(process, signal.SIGKILL)
    assert main(["info", str(tmp_path / "killed/clip/shot")]) == 2  # not complete, and not opened by accident
    assert main(arguments(collection, tmp_path / "killed", "--batch-size", "2")) == 0
    assert not parts.exists()
    for name in ("vectors.npy", "ids.txt", "problems.tsv"):
        whole, killed = (tmp_path / run / "clip/shot" / name for run in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), name


def test_failures_above_the_limit_end_with_1_and_keep_the_rest(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = shutil.copytree(collection / "videos", tmp_path / "videos")
    (videos / "00002.mp4").write_bytes(b"not a video")
    (videos / "00003.mp4").unlink()
    command = arguments(collection, tmp_path / "out", "--videos", str(videos))
    for _ in range(2):  # run again, the finished store still has too many failures
        assert main(command) == 1
        error = capsys.readouterr().err
        assert "1 of 3 videos have no file, so their shots fail: 00003" in error
        assert "avs extract-features: 6 of 9 shots failed" in error and "wanted: at most 5.0%" in error
        assert "3 failed: no video file has this id (N) (such as shot00003_1)" in error
        assert "3 failed: not a video that FFmpeg can open (Invalid data found" in error
    store = FeatureStore(tmp_path / "out/clip/shot")
    assert store.ids == ("shot00001_1", "shot00001_2", "shot00001_3")
    assert {p.reason for p in store.problems if "00003" in p.shot} == {"no video file has this id (00003)"}
    assert main([*command, "--max-failed", "0.7"]) == 0


def test_the_summary_tells_what_extraction_took(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = ["--level", "shot", "--level", "frame", "--json"]
    for _ in range(2):  # run again, the finished stores tell the same
        assert main(arguments(collection, tmp_path, *levels)) == 0
        out, err = capsys.readouterr()
        assert err.count("made in ") == 1 and f"{tmp_path / 'clip/shot'}: made in " in err
        assert " by 1 process; " in err and " shots/s, " in err and " frames/s; device waits " in err
        for store in json.loads(out)["stores"]:
            assert store["extraction"] == json.loads((Path(store["path"]) / "extraction.json").read_text())
            assert (store["extraction"]["shots"], store["extraction"]["frames"]) == (9, 36)
    assert main(["info", str(tmp_path / "clip/frame")]) == 0
    assert "extraction: made in " in capsys.readouterr().out
    (tmp_path / "clip/frame/extraction.json").write_text("{")
    assert main(["info", str(tmp_path / "clip/frame"), "--verify"]) == 0
    assert main(["info", str(tmp_path / "clip/frame")]) == 0
    assert "extraction: " not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--model", "clpi"], 2, 'unknown model "clpi"; did you mean "clip"?'),
        (["--level", "clip"], 2, 'unknown level "clip"'),
        (["--store-dtype", "float61"], 2, 'unknown store dtype "float61"; did you mean "float16"?'),
        (["--skip-similar", "0"], 2, "the difference from which on frames are not similar is out of range"),
        (["--policy", "uniform"], 2, "sampling policy uniform needs a number of frames"),
        (["--shots", "none.tsv"], 2, "no such shot table"),
        (["--videos", "none"], 2, "no such video folder"),
        (["--model", "clip", "--weights", "./none"], 2, "no such checkpoint folder"),
        (["--model", "clip", "--weights", "blip=x", "--model", "blip2"], 2, "--weights does not fit the models"),
        (["--compute-dtype", "float16"], 2, "float16 is not computed on a CPU"),
        (["--video-timeout", "5"], 2, "--video-timeout needs worker processes"),
        (["--device", "cuda:99"], 3, 'there is no CUDA device "cuda:99"'),
    ],
    ids=str,
)
def test_a_user_error_is_one_message_and_writes_nothing(
    collection: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
    message: str,
) -> None:
    assert main(arguments(collection, tmp_path / "out", *options)) == code
    error = capsys.readouterr().err
    assert f"avs extract-features: {message}" in error and "Traceback" not in error
    assert "unknown" not in message or "hash videos" not in error  # names are checked before files are read
    assert not list(tmp_path.rglob("*.np[yz]"))


def test_a_table_of_another_collection_is_refused(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.tsv").write_text("shot\tvideo\tstart_s\tend_s\nshot9_1\t9\t0.0\t1.0\n", encoding="utf-8")
    assert main(arguments(collection, tmp_path / "out", "--shots", str(tmp_path / "other.tsv"))) == 2
    assert "no video of the shot table is in the folder" in capsys.readouterr().err


def test_help_does_not_load_torch() -> None:
    code = "import sys; from avs.cli.main import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code, "extract-features", "--help"], capture_output=True).returncode == 0
    )


def test_a_config_stands_for_the_options_and_is_checked_before_work_starts(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "recipe.yaml"
    config.write_text(
        f"encoders:\n  - {{model: clip, weights: {collection / 'clip'}}}\nsampling: {{interval_s: 1.0}}\n"
    )
    words = ["extract-features", "--videos", str(collection / "videos"), "--shots", str(collection / "shots.tsv")]
    words += ["--workers", "0", "--quiet", "-o", str(tmp_path / "out")]
    assert main([*words, "--config", str(config), "--level", "frame"]) == 2
    assert "--config replaces these options\n  got:    --level\n" in capsys.readouterr().err
    config.write_text("encoders:\n  - {model: clip, wieghts: x}\nlevles: [shot]\n")
    assert main([*words, "--config", str(config)]) == 2
    message = capsys.readouterr().err
    assert f"config {config}: 2 problems" in message
    assert f"{config}:2: encoders.0.wieghts: unknown key" in message
    assert f'{config}:3: levles: unknown key; did you mean "levels"?' in message
    assert main(words) == 2
    assert "no encoder is named" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["shots", "extract-features"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_an_output_that_cannot_be_written_is_refused_before_videos_are_hashed(
    collection: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    force: list[str],
) -> None:
    def read_only(dir: Path) -> None:  # noqa: A002
        raise OSError(errno.EROFS, "Read-only file system", str(dir))

    monkeypatch.setattr(artifacts, "TemporaryFile", read_only)
    words = arguments(collection, tmp_path / "x")
    if verb == "shots":
        words = ["shots", "--videos", str(collection / "videos"), "-o", str(tmp_path / "x.tsv")]
    assert main([*words, *force]) == 2
    err = capsys.readouterr().err
    assert "the output cannot be written" in err and "hash videos" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "cuda:99"], 'there is no CUDA device "cuda:99"'),
        (["--compute-dtype", "float16"], "float16 is not computed on a CPU"),
        (["--batch-size", "0"], "the batch size must be at least 1"),
        (["--weights", "nothere"], "no such checkpoint folder"),
    ],
)
def test_how_it_runs_is_checked_before_videos_are_hashed(
    collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    where = arguments(collection, tmp_path / "out", *options)
    if "--weights" in options:
        place = where.index("--weights")
        del where[place : place + 2]
    assert main(where) in (2, 3)
    err = capsys.readouterr().err
    assert said in err and "hash videos" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("mine", "kept"), [(None, "passive"), ("active", "active")])
def test_threads_of_torch_sleep_while_they_wait_unless_the_user_says_otherwise(mine: str | None, kept: str) -> None:
    code = """
import os, sys
from pathlib import Path
from avs.cli.extract_features import command

class Torch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            sys.exit(os.environ.get("OMP_WAIT_POLICY"))

sys.meta_path.insert(0, Torch())
command(Path("videos"), Path("shots.tsv"), Path("out"), model=["clip-vit-b32"])
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": mine} if mine else {}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.stderr.strip() == kept
