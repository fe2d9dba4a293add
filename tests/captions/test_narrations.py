"""HowTo100M's captions: read video by video, whatever the chunks; what is wrong with each is told, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avs.captions import narrations
from avs.captions.narrations import CaptionFault, Narration, narrations_of, read_narrated_videos
from avs.core.errors import FormatError

RECORD = {"start": [3.0, 0], "end": [4.5, 2], "text": ["put  them\nin", "cut"]}
JSON = st.recursive(st.none() | st.floats() | st.text(max_size=3), lambda one: st.lists(one, max_size=3))


def write(folder: Path, text: str) -> Path:
    (folder / "caption.json").write_text(text, encoding="utf-8")
    return folder / "caption.json"


def faults(*, duration_s: float = 60.0, **lists: list[Any]) -> list[str]:
    record = {"start": [1], "end": [2], "text": ["a"]} | lists
    found, faults = narrations_of(record, duration_s)
    assert len(found) + sum(not fault.cut for fault in faults) == len(record["start"])
    return [fault.reason for fault in faults]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=4), st.dictionaries(st.text(max_size=3), JSON, max_size=2), max_size=4))
def test_any_chunks_give_what_json_gives(tmp_path: Path, videos: dict[str, Any]) -> None:
    path = write(tmp_path, "\ufeff" + json.dumps(videos, indent=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(narrations, "CHUNK", 1)
        assert repr(dict(read_narrated_videos(path))) == repr(json.loads(json.dumps(videos)))  # NaN is not NaN


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the end of the file"),
        ("[]", r"\[\]"),
        ('[{"a": {}}]', r"wanted: \{"),
        ('{"a": {"start": [1,}}', "Illegal|Expecting"),
        ('{"a": {}', "the end of the file"),
        ('{"a": {} "b": {}}', "after 'a'"),
        ('{"a": {},, "b": {}}', "after 'a'"),
        ('{"a" {}}', r"wanted: :"),
        ("{1: {}}", "a int where the name of a video should be"),
        ('{"a": {}} {"b": {}}', "after the end of the object"),
        ('{"a": ' + "[" * 100_000, "not JSON of HowTo100M"),
        ("nothing", "nothing"),
    ],
)
def test_what_is_no_json_of_howto100m_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        list(read_narrated_videos(write(tmp_path, text)))


def test_an_endless_value_is_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrations, "CHUNK", 10)
    monkeypatch.setattr(narrations, "LONGEST", 100)
    path = write(tmp_path, '{"a": ["' + "x" * 10_000)
    with open(path, encoding="utf-8") as file, pytest.raises(FormatError, match="Unterminated string"):
        members = narrations._Members(file, path)
        list(members)
    assert len(members.text) < 400


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "caption.json").write_bytes(b'{"a": {"text": ["caf\xe9"]}}')
    with pytest.raises(FormatError, match="byte 0xe9"):
        list(read_narrated_videos(tmp_path / "caption.json"))


def test_captions_are_in_order_of_time_with_single_spaces() -> None:
    assert narrations_of(RECORD, 60) == ([Narration(0, 2, "cut"), Narration(3, 4.5, "put them in")], [])


def test_the_last_caption_is_cut_to_the_end_of_its_video() -> None:
    found, faults = narrations_of(RECORD, 4.0)
    assert found[1] == Narration(3, 4, "put them in")
    assert faults == [CaptionFault(0, "ends at 4.5 s; cut to the end of the video at 4 s", cut=True)]


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        ({"start": [None]}, "its start is 'None'"),
        ({"start": ["1"]}, "its start is '1'"),
        ({"start": [True]}, "its start is 'True'"),
        ({"start": [-0.1]}, "its start is '-0.1'"),
        ({"end": [math.nan]}, "its end is 'nan'"),
        ({"end": [math.inf]}, "its end is 'inf'"),
        ({"end": [10**400]}, "its end is '1000"),
        ({"end": [1]}, "ends at 1 s and starts at 1 s"),
        ({"end": [0.5]}, "ends at 0.5 s and starts at 1 s"),
        ({"end": [1 + 1e-9]}, "ends at 1 s and starts at 1 s"),  # a shot table has microseconds
        ({"start": [60], "end": [61]}, "starts at 60 s, and the video ends at 60 s"),
        ({"text": [" \n "]}, "its text is empty"),
        ({"text": [math.nan]}, "its text is 'nan'"),
        ({"text": ["a\x00b"]}, "control characters"),
        ({"text": ["a\ud800"]}, "is not UTF-8"),
    ],
)
def test_a_caption_that_cannot_be_used_is_left_out_with_the_reason(lists: dict[str, Any], told: str) -> None:
    (reason,) = faults(**lists)
    assert told in reason and reason.isprintable()


def test_a_caption_that_comes_back_is_left_out() -> None:
    assert faults(start=[1, 1, 1.0], end=[2, 3, 2], text=["a", "a", " a "]) == ["the same caption as one before it"]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (None, "a JSON NoneType"),
        ([], "a JSON list"),
        ({"start": [1]}, "no list of end, text"),
        ({"start": 1, "end": [1], "text": ["a"]}, "no list of start"),
        ({"start": [1], "end": [1, 2], "text": []}, "1 of start, 2 of end, 0 of text"),
    ],
)
def test_a_record_without_three_lists_is_an_error(record: Any, told: str) -> None:
    with pytest.raises(FormatError, match=told):
        narrations_of(record, 60)


def test_a_name_that_occurs_twice_in_a_record_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, '{"a": {"start": [], "start": [1], "end": [2], "text": ["x"]}}')
    ((_, record),) = read_narrated_videos(path)
    with pytest.raises(FormatError, match="occurs twice"):
        narrations_of(record, 60)
