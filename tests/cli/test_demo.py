"""`avs demo` refuses what it cannot do before it renders anything; tests/e2e/test_demo.py runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

import avs.cli.main as cli


def test_the_former_name_of_size_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--shots", "200", "-o", str(tmp_path / "out")]) == 2
    assert "use --size" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_topics_without_videos_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--topics", "topics.txt", "-o", str(tmp_path / "out")]) == 2
    assert "the rendered collection has its own topics and encoders" in capsys.readouterr().err


def test_a_collection_without_a_relevant_shot_for_every_topic_is_refused(tmp_path: Path) -> None:
    assert cli.main(["demo", "--size", "119", "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
