"""A node that has other versions, or does not see the files, is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from avs.cluster.node_check import node_check
from avs.core.errors import ConfigError


def test_a_node_that_has_the_same_goes_to_the_folder_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/video").write_bytes(b"123")
    monkeypatch.chdir(tmp_path / "here")
    with node_check({Path("video"): 3}, tmp_path / "out") as check:
        monkeypatch.chdir(tmp_path)
        pickle.loads(pickle.dumps(check)).require()
        assert Path.cwd() == tmp_path / "here" and len(list((tmp_path / "out").iterdir())) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_node_does_not_see_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "changed").write_bytes(b"12")
    with node_check({tmp_path / "changed": 3, tmp_path / "gone": 4}, tmp_path / "out") as check:
        (probe,) = (tmp_path / "out").iterdir()
        probe.unlink()  # as on a node whose disk is its own
        with pytest.raises(ConfigError) as caught:
            check.require()
    told = str(caught.value)
    assert "does not see what the command sees: 3 problems" in told and f"{probe}: no such file" in told
    assert f"{tmp_path}/changed: 2 bytes, not 3" in told and "a folder that all nodes have at the same path" in told


@pytest.mark.parametrize("package", ["avs", "torch"])
def test_a_node_of_another_version_is_refused(package: str) -> None:
    with node_check({}) as check:
        other = replace(check, versions={**check.versions, package: "9.9"})
        with pytest.raises(ConfigError, match="processes of different versions cannot share the work") as caught:
            other.require()
    assert caught.value.wanted == f"{package} 9.9" and caught.value.got == f"{package} {check.versions[package]}"
