from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from avs.core.config import load_config
from avs.core.errors import ConfigError


class Optimiser(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lr: float


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")
    batch_size: int
    optimiser: Optimiser
    seed: int = 0


def test_a_good_config(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("batch_size: 128\noptimiser: {lr: 1.0e-4}\n")
    assert load_config(path, Settings).optimiser.lr == 1e-4


def test_all_errors_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("batch_sise: 128\nseed: many\noptimiser:\n  lr: fast\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, Settings)
    message = str(caught.value)
    assert message.startswith(f"config {path}: 4 problems")
    assert f'{path}:1: batch_sise: unknown key; did you mean "batch_size"?' in message
    assert "batch_size: required, but absent" in message
    assert f"{path}:2: seed: Input should be a valid integer" in message
    assert f"{path}:4: optimiser.lr: Input should be a valid number" in message


@pytest.mark.parametrize(("text", "what"), [("a: [", "not valid YAML"), ("- 1", "a config is a mapping")])
def test_not_a_config(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=what):
        load_config(path, Settings)


def test_a_key_that_stands_twice_is_refused_where_yaml_would_drop_the_first(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("batch_size: 128\noptimiser:\n  lr: 1\n  lr: 2\nbatch_size: 64\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, Settings)
    assert str(caught.value) == (
        f"config {path}: 2 problems\n  {path}:5: batch_size: already on line 1\n  {path}:4: lr: already on line 3"
    )


def test_what_the_caller_finds_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("batch_size: 128\noptimiser:\n  lr: 1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(
            path, Settings, check=lambda settings: [(("optimiser", "lr"), f"{settings.optimiser.lr} is too high")]
        )
    assert str(caught.value) == f"config {path}: 1 problem\n  {path}:3: optimiser.lr: 1.0 is too high"
