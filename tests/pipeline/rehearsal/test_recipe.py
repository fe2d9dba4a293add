"""The shipped rehearsal is the real job: its recipes are the real ones, and only names and sizes differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from avs.core.config import load_config
from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.features.recipe import ExtractionRecipe
from avs.features.stores import store_folders
from avs.pipeline.extract import require_usable
from avs.pipeline.rehearsal.recipe import RehearsalRecipe, read_rehearsal
from avs.pipeline.rehearsal.rehearse import Rehearsal
from avs.pipeline.rehearsal.renamed import renamed
from avs.pipeline.submission.recipe import SubmissionRecipe
from avs.pipeline.train.grid import expand
from avs.pipeline.train.recipe import TrainRecipe

REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "configs/rehearsals/rucmm_tv23.yaml"
SIZES = {"head-dim", "epochs", "batch-size"}


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> RehearsalRecipe:
    monkeypatch.chdir(REPOSITORY)
    return read_rehearsal(SHIPPED)


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a YAML with the keys that lead to it."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            yield from leaves(one, f"{place}/{key}")
    else:
        yield place, value


def read(path: Path) -> Any:
    return yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))


def recipes(shipped: RehearsalRecipe) -> list[Path]:
    return [shipped.features, *(one.config for one in shipped.training.values()), *shipped.submissions]


def test_it_names_the_recipes_of_the_real_job(shipped: RehearsalRecipe) -> None:
    assert [str(path) for path in recipes(shipped)] == [
        "configs/features/rucmm_tv23.yaml",
        "configs/train/rucmm_tv23.yaml",
        "configs/train/xclip_rucmm_tv23.yaml",
        "configs/train/teachclip_rucmm_tv23.yaml",
        "configs/runs/rucmm_tv23.yaml",
        "configs/runs/rucmm_tv22.yaml",
    ]
    commands = "".join(path.read_text() for path in (REPOSITORY / one for one in recipes(shipped)))
    for folder, training in shipped.training.items():
        assert f"--config {training.config} --device cuda -o {folder}" in commands
        assert set(training.options) <= SIZES
    assert all(f"--model {model} --level shot" in commands for model in shipped.models)


def test_only_names_differ_from_the_real_recipes(shipped: RehearsalRecipe, tmp_path: Path) -> None:
    rehearsal = Rehearsal(SHIPPED, tmp_path, Reporter(), lambda verb, words: 0)
    for path in recipes(shipped):
        real, here = dict(leaves(read(path))), dict(leaves(renamed(read(path), shipped.names)))
        assert [*real] == [*here]
        differing = {(value, here[place]) for place, value in real.items() if value != here[place]}
        assert differing or "xclip" in path.name or "teachclip" in path.name
        for before, after in differing:
            parts = zip(before.split("/"), after.split("/"), strict=True)
            assert {pair for pair in parts if pair[0] != pair[1]} <= set(shipped.names.items())
    assert rehearsal.recipe == shipped


def test_the_same_42_models_and_the_same_four_runs(shipped: RehearsalRecipe) -> None:
    laffs, *_ = (one.config for one in shipped.training.values())
    real = expand(load_config(REPOSITORY / laffs, TrainRecipe))
    here = expand(TrainRecipe.model_validate(renamed(read(laffs), shipped.names)))
    assert len(here) == 42 and [*here] == [*real]
    for name, recipe in here.items():
        assert recipe.pretrain == real[name].pretrain and recipe.trained_on() == real[name].trained_on()
        assert recipe.video == renamed(real[name].video, shipped.names)
        assert len(recipe.text or ()) == len(real[name].text or ()) == 4
    for path in shipped.submissions:
        runs = [SubmissionRecipe.model_validate(one) for one in (read(path), renamed(read(path), shipped.names))]
        assert len(runs[0].runs) == 4 and runs[0].runs == runs[1].runs
        assert runs[0].fusions == runs[1].fusions and [*runs[0].reranks] == [*runs[1].reranks]


def test_one_pass_makes_the_stores_that_the_others_read(
    shipped: RehearsalRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal = Rehearsal(SHIPPED, tmp_path, Reporter(), lambda verb, words: 0)
    monkeypatch.chdir(tmp_path)
    features = load_config(rehearsal._feature_recipe(), ExtractionRecipe)
    assert [one.weights for one in features.encoders if one.model in shipped.stand_ins] == [
        f"weights/{one.model}" for one in features.encoders if one.model in shipped.stand_ins
    ]
    made = {str(folder) for folder in store_folders(Path(), features, require_usable(features))}
    assert len(made) == 8
    named = [value for path in recipes(shipped)[1:] for _, value in leaves(renamed(read(path), shipped.names))]
    stores = {value.split("FeatureData/")[1] for value in named if isinstance(value, str) and "FeatureData/" in value}
    assert stores - {f"{Path(model).name}/shot" for model in shipped.models} == made


def test_what_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("{}")
    Path("bad.yaml").write_text(
        "stand_ins: [wsll]\n"
        "searched: {V3C1: {shots: 120, editions: [tv13, custom]}}\n"
        "captioned_shots: 20\n"
        "features: none.yaml\n"
        "training: {/models/laff: {config: x.yaml}, models/../../laff: {config: no.yaml}}\n"
        "models: [../student]\n"
        "submissions: [x.yaml, gone.yaml, sub/x.yaml]\n"
    )
    with pytest.raises(ConfigError) as caught:
        read_rehearsal(Path("bad.yaml"))
    told = str(caught.value)
    for what in (
        'nothing stands in for "wsll"; did you mean "wsl"?; there are wsl, ircsn, beit, video-llama',
        'unknown edition "tv13"',
        "custom has no topics of its own",
        "no such file: none.yaml",
        "no such file: no.yaml",
        "no such file: gone.yaml",
        "submissions.0: another file of this section is called x.yaml too",
        "training./models/laff: must be a path below the folder of the rehearsal",
        "training.models/../../laff: must be a path below",
        "models.../student: must be a path below",
    ):
        assert what in told, told


def test_words_and_parts_of_paths_are_replaced_where_they_are_whole() -> None:
    names = {"clip": "mini", "a/b": "never"}
    recipe = {"clip": ["clip", "data/clip/shot", "clip-ft", "x.clip", 3, None, {"no-clip": "clip"}], "of": "a/b"}
    assert renamed(recipe, names) == {
        "clip": ["mini", "data/mini/shot", "clip-ft", "x.clip", 3, None, {"no-clip": "mini"}],
        "of": "a/b",
    }
