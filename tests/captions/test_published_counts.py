"""Counts of a known part of a collection that differ from the published ones are said; nothing is said of others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny_captions import ACTIVITYNET, EXAMPLES, MSRVTT, write

from avs.captions.caption_format import caption_formats
from avs.captions.published_counts import PARTS, remark_on_counts
from avs.captions.read import read_caption_file
from avs.core.captions import Caption, CaptionSet


def numbered(videos: int, each: int) -> CaptionSet:
    return CaptionSet("x", [Caption(f"v{v}#{k}", f"v{v}", "text") for v in range(videos) for k in range(each)])


def test_what_is_said_of_a_part_that_is_not_whole(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(MSRVTT), "MSRVTT_data.json")
    assert read_caption_file(path, split="train").remark == (
        "note: MSRVTT_data.json, split train: 1 videos, 2 captions; "
        "the published part has 6,513 videos, 130,260 captions"
    )
    assert "7,010 videos, 140,200 captions" in str(read_caption_file(path, split="train+validate").remark)
    listed = write(tmp_path, "video_id\nvideo7\n", "MSRVTT_train.9k.csv")
    assert "split MSRVTT_train.9k: 1 videos" in str(read_caption_file(path, split=str(listed)).remark)


def test_captions_are_counted_before_one_is_chosen(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(ACTIVITYNET), "val_1.json")
    found = read_caption_file(path, per_video="paragraph")
    assert found.format == "activitynet" and len(found.captions) == 2
    assert found.remark == "note: val_1.json: 2 videos, 3 captions; the published part has 4,917 videos"


@pytest.mark.parametrize("format", EXAMPLES)
def test_nothing_is_said_of_files_that_are_not_known(tmp_path: Path, format: str) -> None:
    assert read_caption_file(write(tmp_path, EXAMPLES[format][0], "mine.txt")).remark is None


def test_nothing_is_said_where_the_counts_agree() -> None:
    path = Path("MSRVTT_data.json")
    assert remark_on_counts(numbered(497, 20), format="msrvtt", path=path, split="validate") is None
    assert remark_on_counts(numbered(497, 19), format="msrvtt", path=path, split="validate") is not None
    # of ActivityNet only the number of videos is known
    assert remark_on_counts(numbered(4917, 1), format="activitynet", path=Path("val_1.json"), split=None) is None
    assert remark_on_counts(numbered(4917, 1), format="didemo", path=Path("val_1.json"), split=None) is None


def test_the_table_is_of_known_formats_and_its_patterns_of_small_letters() -> None:
    for part in PARTS:
        assert part.format in caption_formats
        assert part.videos is not None or part.captions is not None
        for pattern in filter(None, (part.split, part.file)):
            assert re.compile(pattern) and pattern == pattern.lower()
