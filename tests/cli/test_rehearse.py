"""`avs demo --rehearse` as a user runs it: RUCMM's recipes with fewer collections, models and steps, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from avs.cli.main import main
from avs.core.artifacts import read_manifest
from avs.core.store import FeatureStore

REPOSITORY = Path(__file__).resolve().parents[2]
TRAINED_ON = ["msrvtt10k", "webvid", "tv2016train"]
SEARCHED, CAPTIONED = 60, 20  # shots of each collection
CHANCE = 0.1  # mean xinfAP of shots in random order; none of 20 orders has 0.19


def read(path: str) -> Any:
    return yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))


def write(folder: Path, name: str, content: Any) -> str:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return str(folder / name)


def fewer_laffs() -> Any:
    """Two of the 42 LAFFs, on three of the seven collections."""
    recipe = read("configs/train/rucmm_tv23.yaml")
    recipe["collections"] = {name: recipe["collections"][name] for name in TRAINED_ON}
    recipe["train"] = ["msrvtt10k"]
    recipe["grid"]["pretrain"] = {"webvid": ["webvid"]}
    recipe["grid"]["video"] = {name: recipe["grid"]["video"][name] for name in ("all", "no-wsl")}
    return recipe


def fewer_clips(path: str) -> Any:
    recipe = read(path)
    recipe["collections"] = {name: None for name in TRAINED_ON if name != "webvid"}
    recipe["train"] = ["msrvtt10k"]
    return recipe


def fewer_runs() -> Any:
    """The submission of TV23, learned on TV21 alone, with the one pre-training set."""
    recipe = read("configs/runs/rucmm_tv23.yaml")
    for search in ("tv22", "teachclip-tv22"):
        del recipe["searches"][search]
    for search in ("tv19-21", "teachclip-tv19-21"):
        recipe["searches"][search]["topics"] = ["data/V3C1/TextData/tv21.avs.txt"]
    fusions = {name: recipe["fusions"][name] for name in ("step-1-and-2", "step-1")}
    for fusion in fusions.values():
        fusion["family"] = {"webvid": "webvid.*"}
    learned = fusions["step-1-and-2"]
    learned["past"] = ["tv19-21", "teachclip-tv19-21"]
    learned |= {"qrels": ["data/V3C1/TextData/avs.qrels.tv21"], "fit-on": "tv21"}
    return recipe | {"fusions": fusions}


def written(folder: Path) -> dict[Path, int]:
    """When each video, store, model, list and run was written."""
    kinds = {".mp4", ".npy", ".safetensors", ".trec", ".xml"}
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in kinds}


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recipes")
    recipe = read("configs/rehearsals/rucmm_tv23.yaml")
    recipe["searched"] = {
        "V3C1": {"shots": SEARCHED, "editions": ["tv21"]},
        "V3C2": {"shots": SEARCHED, "editions": ["tv23"]},
    }
    recipe["captioned_shots"] = CAPTIONED
    recipe["features"] = str(REPOSITORY / recipe["features"])
    train = recipe["training"]
    train["models/rucmm_tv23"] |= {"config": write(folder, "train/laffs.yaml", fewer_laffs()), "epochs": 1}
    for name in ("xclip", "teachclip"):
        config = write(folder, f"train/{name}.yaml", fewer_clips(f"configs/train/{name}_rucmm_tv23.yaml"))
        train[f"models/{name}-rucmm"] |= {"config": config, "epochs": 1}
    recipe["submissions"] = [write(folder, "runs/tv23.yaml", fewer_runs())]
    return write(folder, "rehearsal.yaml", recipe)


def test_one_command_leads_from_recipes_to_checked_runs(
    rehearsal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--rehearse", rehearsal, "-o", "here", "--workers", "0", "--json"]) == 0
    out, _ = capsys.readouterr()
    summary = json.loads(out)
    assert "wsl, ircsn, beit, video-llama have small networks with random weights" in summary["meaning"]
    made = summary["submissions"]["tv23"]
    assert made["runs"] == [f"here/submissions/tv23/runs/F_M_C_D_TEAM.23_{number}.xml" for number in (1, 2, 3, 4)]
    assert main(["check-run", *made["runs"], "--edition", "tv23", "--shots", "here/data/V3C2/V3C2.validShotTable"]) == 0
    laffs = ["laffs/webvid.all", "laffs/webvid.no-wsl"]
    fused = ["step-1", "step-1-and-2", "step-1-and-2-reranked", "step-1-reranked"]
    assert [*made["xinfAP"]] == [*laffs, *fused, "teachclip/teachclip-rucmm-shot"]
    knowing = [*fused, "teachclip/teachclip-rucmm-shot"]  # LAFFs learn little in an epoch of so few captions
    assert min(made["xinfAP"][name] for name in knowing) > 2.5 * CHANCE
    store = FeatureStore(Path("here/data/V3C2/FeatureData/ircsn/shot"))
    assert len(store) == SEARCHED and store.spec.name == "ircsn" and store.ids[0].startswith("shot07476_")
    laff = read_manifest(Path("here/models/rucmm_tv23/webvid.no-wsl"))
    assert laff["command"].startswith("avs train-laff --config recipes/train/laffs.yaml --head-dim 32 --epochs 1")
    assert not [*tmp_path.glob("*.*")], "nothing is written beside the folder"
    when = written(Path("here"))
    assert len(when) > 100
    assert main(["demo", "--rehearse", rehearsal, "-o", "here", "--workers", "0"]) == 0
    out, err = capsys.readouterr()
    assert written(Path("here")) == when, "what is made is not made again"
    assert "laffs: best of 2" in out and "laffs: mean" in out and "step-1-and-2-reranked  " in out
    assert err.index("$ cd here") < err.index("$ avs extract-features") < err.index("$ avs make-submission")


@pytest.mark.parametrize(
    ("words", "what"),
    [(["--size", "200"], "got:    --size"), (["--videos", "v"], "got:    --videos"), ([], "no such config file")],
)
def test_what_does_not_go_together_is_refused(
    words: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--rehearse", "none.yaml", "-o", str(tmp_path / "out"), *words]) == 2
    assert what in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_captions_are_never_written_outside_the_folder(
    rehearsal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, laffs = yaml.safe_load(Path(rehearsal).read_text()), fewer_laffs()
    mine = tmp_path / "mine.caption.txt"
    mine.write_text("my captions")
    laffs["collections"] |= {"webvid": {"captions": str(mine)}, "msrvtt10k": {"captions": "../mine.caption.txt"}}
    recipe["training"]["models/rucmm_tv23"]["config"] = write(tmp_path, "train/laffs.yaml", laffs)
    assert main(["demo", "--rehearse", write(tmp_path, "r.yaml", recipe), "-o", "here"]) == 2
    err = capsys.readouterr().err
    assert "files that would be written outside here" in err and f"captions of webvid: got {mine}" in err
    assert "captions of msrvtt10k: got ../mine.caption.txt" in err
    assert mine.read_text() == "my captions" and not Path("here/data").exists()


def test_a_folder_with_other_files_is_left_alone(
    rehearsal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/V3C2/TextData").mkdir(parents=True)
    Path("data/V3C2/TextData/avs.qrels.tv23").write_text("mine")
    assert main(["demo", "--rehearse", rehearsal, "-o", ".", "--force"]) == 2
    assert "something else is where the rehearsal should go" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["avs.qrels.tv23"]


def test_frames_are_never_kept_outside_the_folder(
    rehearsal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe, clips = yaml.safe_load(Path(rehearsal).read_text()), fewer_clips("configs/train/xclip_rucmm_tv23.yaml")
    clips["frames"]["cache"] = str(tmp_path / "frames")
    recipe["training"]["models/xclip-rucmm"]["config"] = write(tmp_path, "train/clips.yaml", clips)
    assert main(["demo", "--rehearse", write(tmp_path, "r.yaml", recipe), "-o", "here"]) == 2
    assert f"frames.cache: got {tmp_path / 'frames'}; wanted a path such as data/frames" in capsys.readouterr().err


def test_an_option_that_a_training_does_not_have_is_told_before_the_work(
    rehearsal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = yaml.safe_load(Path(rehearsal).read_text())
    recipe["training"]["models/teachclip-rucmm"]["epoch"] = 1
    assert main(["demo", "--rehearse", write(tmp_path, "r.yaml", recipe), "-o", "here"]) == 2
    assert "--epoch" in capsys.readouterr().err
    assert not Path("here/data").exists()
