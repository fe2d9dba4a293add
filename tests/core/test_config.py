from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from avs.core.config import load_config
from avs.core.errors import AvsError, ConfigError


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


NINE_LEVELS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            "batch_size: 1\na: &x [*x]\n",
            "an alias stands for itself\n  where:  {path}:2\n  next:   write the values out",
        ),
        ("a: &x {b: *x}\n", "an alias stands for itself\n  where:  {path}:1"),
        (NINE_LEVELS, "an alias stands for more values than a config can have\n  where:  {path}:6\n  next:"),
        (NINE_LEVELS.replace("[", "{<<: [").replace("]", "]}"), "more values than a config can have"),
        (
            "batch_size: 1\nseed: 2001-13-45\n",
            "where:  {path}:2\n  got:    month must be in 1..12\n  next:   write it in",
        ),
        ("seed: !!int ''\n", "a value is not of the kind it looks like\n  where:  {path}:1"),
        ("seed: !!bool maybe\n", "a value is not of the kind it looks like\n  where:  {path}:1"),
        ("a: " + 3000 * "[", "nested too deeply\n  where:  {path}\n  next:"),
        ("a: b\0\n", "not valid YAML"),
        ("", "a config is a mapping of keys to values\n  where:  {path}\n  got:    NoneType"),
        ("seed: 1\n".encode("utf-16"), "not a text in UTF-8\n  where:  {path}:1\n  got:    byte 0xff\n  next:   save"),
        ("seed: 1\n# für\n".encode("latin-1"), "not a text in UTF-8\n  where:  {path}:2\n  got:    byte 0xfc"),
        (gzip.compress(b"seed: 1\n"), "where:  {path}\n  got:    a gzip file\n  next:   unpack it with gunzip"),
    ],
    ids=range(13),
)
def test_hostile_files_are_errors_that_say_where_and_what_next(tmp_path: Path, content: str | bytes, what: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(AvsError) as caught:
        load_config(path, Settings)
    assert what.format(path=path) in str(caught.value)


def test_aliases_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("optimiser: &o {lr: 1}\nothers: [*o, *o]\nbatch_size: 1\n")
    with pytest.raises(ConfigError, match="1 problem\n.*others: unknown key"):
        load_config(path, Settings)
