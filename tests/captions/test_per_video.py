"""One caption of each video, or all of them as a paragraph, whichever file they come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_captions import DIDEMO, EXAMPLES, write

from avs.captions.didemo import spans
from avs.captions.per_video import captions_per_video
from avs.captions.read import read_captions
from avs.core.captions import Caption, CaptionSet
from avs.core.errors import ConfigError

MIXED = CaptionSet(
    "x",
    [Caption("b#0", "b", "one"), Caption("a#0", "a", "two"), Caption("b#1", "b", "three."), Caption("a#1", "a", "x")],
)


def rows(captions: CaptionSet) -> list[tuple[str, str, str]]:
    return [(caption.id, caption.video, caption.text) for caption in captions]


def test_all_first_and_paragraph() -> None:
    assert captions_per_video(MIXED, "all") is MIXED
    assert rows(captions_per_video(MIXED, "first")) == [("b#0", "b", "one"), ("a#0", "a", "two")]
    joined = captions_per_video(MIXED, "paragraph")
    assert rows(joined) == [("b#paragraph", "b", "one three."), ("a#paragraph", "a", "two x")]
    assert joined.name == "x"
    with pytest.raises(ConfigError, match="no such captions per video"):
        captions_per_video(MIXED, "last")  # type: ignore[arg-type]


@pytest.mark.parametrize("format", EXAMPLES)
def test_every_format_has_one_caption_per_video(tmp_path: Path, format: str) -> None:
    path = write(tmp_path, EXAMPLES[format][0])
    everything = read_captions(path)
    for how in ("first", "paragraph"):
        captions = read_captions(path, per_video=how)
        assert captions.videos == everything.videos and len(captions) == len(everything.videos)
    words = {video: [c.text for c in everything if c.video == video] for video in everything.videos}
    assert captions.texts == tuple(" ".join(texts) for texts in words.values())


def test_paragraphs_of_activitynet_and_didemo_are_in_the_order_of_the_file(tmp_path: Path) -> None:
    activitynet = read_captions(write(tmp_path, EXAMPLES["activitynet"][0]), per_video="paragraph")
    assert activitynet.texts == ("He stops. He runs.", "A cat.")
    didemo = read_captions(write(tmp_path, EXAMPLES["didemo"][0]), per_video="paragraph")
    assert rows(didemo)[0] == ("1@N00_2_ab#paragraph", "1@N00_2_ab", "a dog it barks")


def test_didemo_is_seen_for_31_seconds_or_where_it_is_described(tmp_path: Path) -> None:
    path = write(tmp_path, EXAMPLES["didemo"][0])
    assert DIDEMO[0]["times"] == [[2, 2], [1, 2], [3, 4], [2, 2]]
    assert spans(path, ["1@N00_2_ab"], proposals=False) == {"1@N00_2_ab": ((0.0, 31.0),)}
    moments = spans(path, ["1@N00_2_ab", "3@N00_4_cd"], proposals=True)
    # the means over four annotators: pieces 2 to 2.5, so seconds 10 to 17.5; then piece 5
    assert moments == {"1@N00_2_ab": ((10.0, 17.5), (25.0, 30.0)), "3@N00_4_cd": ((0.0, 5.0),)}


def test_moments_that_overlap_or_touch_become_one(tmp_path: Path) -> None:
    moment = '{"video": "a.mp4", "description": "x", "times": [[%d, %d]]}'
    path = write(tmp_path, "[" + ",".join(moment % pieces for pieces in ((4, 4), (0, 2), (1, 1), (3, 3))) + "]")
    assert spans(path, ["a"], proposals=True) == {"a": ((0.0, 25.0),)}
