from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fake_frames import FakeFrames, table

from avs.core.errors import ChangedInputsError, ConfigError, StoreError, VideoError
from avs.core.store import Level
from avs.features import stores
from avs.features.recipe import EncoderRecipe, ExtractionRecipe, SamplingRecipe
from avs.features.stores import StorePlan, make_stores, plan_stores

SHOTS = table({"00001": 3, "00002": 2})


def plan(folder: Path, checkpoints: dict[str, Path], *families: str, interval_s: float = 0.5) -> list[StorePlan]:
    encoders = [EncoderRecipe(model=family, weights=str(checkpoints[family])) for family in families]
    sampling = SamplingRecipe(interval_s=interval_s)
    recipe = ExtractionRecipe(encoders=encoders, levels=["shot", "frame"], sampling=sampling)
    return plan_stores(folder, recipe, inputs={"shots": SHOTS.fingerprint})


def test_stores_that_stand_load_no_model_and_decode_nothing(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_stores(plan(tmp_path, checkpoints, "clip"), SHOTS, lambda _: FakeFrames(), batch_size=2)
    assert [store.folder for store in made] == [tmp_path / "clip/shot", tmp_path / "clip/frame"]
    monkeypatch.setattr(stores, "load_embedder", lambda *_, **__: pytest.fail("a model was loaded"))
    source = FakeFrames()
    again = make_stores(plan(tmp_path, checkpoints, "clip"), SHOTS, lambda _: source, batch_size=2)
    assert [store.ids for store in again] == [SHOTS.ids, SHOTS.ids] and source.asked == []


def test_a_model_added_later_is_made_beside_those_that_stand(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    make_stores(plan(tmp_path, checkpoints, "clip"), SHOTS, lambda _: FakeFrames(), batch_size=2)
    before = (tmp_path / "clip/shot/manifest.json").stat().st_mtime_ns
    made = make_stores(plan(tmp_path, checkpoints, "clip", "blip"), SHOTS, lambda _: FakeFrames(), batch_size=2)
    assert [store.spec.name for store in made] == ["clip", "clip", "blip", "blip"]
    assert (tmp_path / "clip/shot/manifest.json").stat().st_mtime_ns == before


def test_parts_of_other_settings_are_refused_and_forced_away(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(VideoError):
        make_stores(
            plan(tmp_path, checkpoints, "clip"), SHOTS, lambda _: FakeFrames(broken="shot00002_2"), batch_size=2
        )
    changed = plan(tmp_path, checkpoints, "clip", interval_s=1.0)
    with pytest.raises(ChangedInputsError, match="parts of a store with other inputs or settings"):
        make_stores(changed, SHOTS, lambda _: FakeFrames(), batch_size=2)
    assert len(make_stores(changed, SHOTS, lambda _: FakeFrames(), batch_size=2, force=True)) == 2


def test_a_store_that_another_process_writes_is_not_forced_away(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = plan(tmp_path, checkpoints, "clip")
    with pytest.raises(VideoError):
        make_stores(plans, SHOTS, lambda _: FakeFrames(broken="shot00002_2"), batch_size=2)
    parts = sorted(tmp_path.rglob("*.part"))
    words = "import sys, pathlib; from avs.core.leases import Owner\n"
    words += "with Owner() as me: me.sign(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", words, str(plans[1].folder / "parts")]
    monkeypatch.setattr(stores, "load_embedder", lambda *_, **__: pytest.fail("a model was loaded"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another process is writing here") as caught:
            make_stores(plans, SHOTS, lambda _: FakeFrames(), force=True)
        assert caught.value.where == plans[1].folder and f"process {other.pid} on" in str(caught.value.got)
        other.communicate()
    assert parts and sorted(tmp_path.rglob("*.part")) == parts
    monkeypatch.undo()
    assert len(make_stores(plans, SHOTS, lambda _: FakeFrames(), batch_size=2)) == 2


def test_a_model_asked_for_twice_is_refused(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a model is named twice"):
        plan(tmp_path, checkpoints, "clip", "clip")


@pytest.mark.parametrize(
    ("model", "level", "fingerprint"),
    [
        ("mini-blip", "shot", "74bfe8cd43753e208751b9c395d17f4d786e0d270d448739daab511c181be1f6"),
        ("mini-blip2", "frame", "eff6ac4a9a7b14fc6baf190fc94aeb5abf16d269588e6ebc38f160da843796ad"),
    ],
)
def test_stores_of_earlier_versions_are_up_to_date(model: str, level: Level, fingerprint: str, tmp_path: Path) -> None:
    """The fingerprints are those of avs 0.1 before encoders of several kinds; a new setting must not change them."""
    recipe = ExtractionRecipe(encoders=[EncoderRecipe(model=model)], levels=[level])
    (plan_of_store,) = plan_stores(tmp_path, recipe, inputs={"shots": "a", "videos": "b"})
    assert plan_of_store.manifest.fingerprint == fingerprint


def test_levels_of_an_encoder_come_before_those_of_the_recipe(tmp_path: Path) -> None:
    encoders = [EncoderRecipe(model="mini-clip", levels=("frame", "keep:2")), EncoderRecipe(model="mini-blip")]
    for levels, wanted in ((None, ["shot"]), (["shot", "frame"], ["shot", "frame"])):
        plans = plan_stores(tmp_path, ExtractionRecipe(encoders=encoders, levels=levels), inputs={})
        found = [plan.folder.relative_to(tmp_path).as_posix() for plan in plans]
        assert found == ["mini-clip/frame", "mini-clip/keep-2", *(f"mini-blip/{level}" for level in wanted)]
        assert [plan.manifest.config["level"] for plan in plans][:2] == ["frame", "frame"]
