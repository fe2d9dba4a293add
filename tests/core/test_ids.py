from __future__ import annotations

import pytest

from avs.core.errors import FormatError
from avs.core.ids import format_shot_id, natural_key, parse_shot_id, qrels_topic_id, topic_id_from_qrels


@pytest.mark.parametrize(
    ("text", "video", "number"),
    [("shot00123_45", "00123", 45), ("shot35903_7", "35903", 7), ("shotcar-detection_1", "car-detection", 1)],
)
def test_parse_and_format_are_inverse(text: str, video: str, number: int) -> None:
    shot = parse_shot_id(text)
    assert (shot.video, shot.number) == (video, number)
    assert str(shot) == text == format_shot_id(video, number)


def test_the_last_underscore_separates() -> None:
    assert parse_shot_id("shotbig_buck_bunny_3").video == "big_buck_bunny"


@pytest.mark.parametrize(
    "text", ["", "shot", "shot1", "shot1_", "shot1_0", "shot1_01", "1_2", "shot_1", "shot1 2_3", "shota/b_1"]
)
def test_malformed_ids_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="not a shot id"):
        parse_shot_id(text)


def test_natural_order() -> None:
    ids = ["shot10_1", "shot2_10", "shot2_9", "shot2_1"]
    assert sorted(ids, key=natural_key) == ["shot2_1", "shot2_9", "shot2_10", "shot10_1"]


def test_natural_key_is_total_where_numbers_are_equal() -> None:
    assert natural_key("shot01_1") != natural_key("shot1_1")


def test_qrels_topic_ids() -> None:
    assert qrels_topic_id("661") == "1661"
    assert topic_id_from_qrels("1661") == "661"
    with pytest.raises(FormatError, match="not a topic id of AVS qrels"):
        topic_id_from_qrels("661")


def test_natural_order_takes_any_text() -> None:
    odd = ["a\u00b2", "a\u0661", "9" * 5000, "", "a10", "a2"]
    assert [text for text in sorted(odd, key=natural_key) if text in ("a2", "a10")] == ["a2", "a10"]
