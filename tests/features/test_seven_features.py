"""The recipe `configs/features/rucmm_tv23.yaml` with small networks in place of the published ones, in one pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_ircsn
import tiny_video_llama
import tiny_wsl
import yaml
from tiny_checkpoints import make_beit
from tiny_videos import write_collection

from avs.cli.main import main
from avs.core.store import FeatureStore
from avs.video.decode import Video

RECIPE = Path(__file__).resolve().parents[2] / "configs/features/rucmm_tv23.yaml"
MINI = {"clip-vit-b32": "mini-clip", "blip-itm-base-coco": "mini-blip", "blip2-itm-vit-g": "mini-blip2"}


def test_one_pass_makes_frames_clips_and_ten_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {
        "wsl": tiny_wsl.make_wsl(tmp_path / "weights/wsl", tiny_wsl.theirs()),
        "ircsn": tiny_ircsn.make_ircsn(tmp_path / "weights/ircsn", tiny_ircsn.theirs()),
        "video-llama": tiny_video_llama.make_video_llama(tmp_path / "weights/vl", tiny_video_llama.theirs()),
        "beit": make_beit(tmp_path / "weights/beit"),
    }
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8")) | {"compute_dtype": "float32"}
    for encoder in recipe["encoders"]:
        name = encoder["model"]
        encoder["model"] = MINI.get(name, "beit" if name.startswith("beit") else name)
        if encoder["model"] in weights:
            encoder["weights"] = str(weights[encoder["model"]])
    small = tmp_path / "recipe.yaml"
    small.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    write_collection(tmp_path, films=2)
    opened: list[str] = []
    opening = Video._open
    monkeypatch.setattr(Video, "_open", lambda video: (opened.append(video.path.name), opening(video))[1])
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "--workers", 0, "--quiet"]
    assert main(["extract-features", *map(str, words), "--config", str(small), "-o", str(tmp_path / "out")]) == 0
    assert len(opened) == 2
    folders = {path.parent for path in (tmp_path / "out").glob("*/*/manifest.json")}
    stores = {folder.relative_to(tmp_path / "out").as_posix(): FeatureStore(folder) for folder in folders}
    shot_level = {*weights, *MINI.values()}
    assert set(stores) == {*(f"{name}/shot" for name in shot_level), "mini-clip/frame"}
    for name, store in stores.items():
        assert len(store) == 6, name
        np.testing.assert_allclose(np.linalg.norm(store.vectors.astype(np.float32), axis=1), 1, atol=1e-3)
    assert {name: store.spec.crops for name, store in stores.items() if store.spec.crops} == {"wsl/shot": "ten"}
    assert {name for name, store in stores.items() if store.spec.clip_frames} == {"ircsn/shot", "video-llama/shot"}
