from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

from avs.core.artifacts import Manifest, write_artefact
from avs.core.errors import AvsError, FormatError
from avs.pipeline import description
from avs.pipeline.description import describe_artefact, describe_environment, fact_lines
from avs.video.sampling import NO_LIMIT


def test_a_file_is_described_by_its_manifest(tmp_path: Path) -> None:
    file = tmp_path / "x.trec"
    write_artefact(file, Manifest("ranked-lists", {"k": 5}), lambda path: path.write_text("x") and None)
    facts = describe_artefact(file)
    assert (facts["type"], facts["config"]) == ("ranked-lists", {"k": 5})
    (tmp_path / "plain").touch()
    with pytest.raises(FormatError, match="no manifest"):
        describe_artefact(tmp_path / "plain")
    with pytest.raises(AvsError, match="no such artefact"):
        describe_artefact(tmp_path / "gone")


def test_the_environment_names_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "NEEDED_BY", {"numpy": "every verb", "no-such-package": "nothing"})
    facts = describe_environment()
    assert facts["numpy"] == f"{version('numpy')} (for every verb)"
    assert facts["no-such-package"] == "missing: pip install no-such-package (for nothing)"


def test_facts_are_indented_lines() -> None:
    assert fact_lines({"a": 1, "b": {"c": {"d": 2}}, "e": {}}) == ["a: 1", "b:", "  c:", "    d: 2", "e: none"]
    assert fact_lines({"spec": None, "k": {"901": 2}}) == ["k:", "  901: 2"]
    elapsed = {str(topic): topic / 1000 for topic in range(901, 931)}
    assert fact_lines({"elapsed_s": elapsed}) == ["elapsed_s: 30 numbers, 0.901 to 0.93 (--json lists them)"]


def test_a_number_that_means_no_limit_is_told_in_words() -> None:
    sampling = {"policy": "interval", "interval_s": 1.0, "frames": NO_LIMIT}
    lines = ["sampling:", "  policy: interval", "  interval_s: 1.0", "  frames: no limit"]
    assert fact_lines({"sampling": sampling}) == lines
    assert fact_lines({"frames": 120}) == ["frames: 120"]


def test_a_torchvision_that_does_not_fit_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: set[str] = set()
    monkeypatch.setattr(description, "find_spec", lambda name: name in installed)
    assert "torchvision" not in describe_environment()
    installed.add("torchvision")
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    sys.modules["torchvision"].__dict__["__version__"] = "9.9"
    assert describe_environment()["torchvision"] == "9.9 (not needed)"
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert "installed but broken" in str(describe_environment()["torchvision"])
