from __future__ import annotations

import pytest

from avs.core.captions import Caption, CaptionSet
from avs.core.errors import DataError, FormatError

ROWS = [Caption("b#0", "b", "a dog"), Caption("a#0", "a", "a cat"), Caption("b#1", "b", "a brown dog")]


def test_columns_keep_the_order_of_captions_and_of_videos() -> None:
    captions = CaptionSet("x", ROWS)
    assert (captions.ids, captions.texts) == (("b#0", "a#0", "b#1"), ("a dog", "a cat", "a brown dog"))
    assert captions.videos == ("b", "a") and captions.video_of.tolist() == [0, 1, 0]
    assert list(captions) == ROWS and len(captions) == 3
    assert list(captions.of_videos(["b"])) == [ROWS[0], ROWS[2]]


def test_what_is_no_caption_is_refused_at_once() -> None:
    with pytest.raises(FormatError) as caught:
        CaptionSet("x", [*ROWS, Caption("a#0", "a", "again"), Caption("c#0", "c", " ")])
    assert str(caught.value) == "captions of x: 2 problems\n  a#0: the id occurs twice\n  c#0: the caption is empty"
    with pytest.raises(FormatError, match="a collection without captions"):
        CaptionSet("x", [])


def test_the_fingerprint_depends_on_ids_videos_texts_and_their_order() -> None:
    others = [[ROWS[1], ROWS[0], ROWS[2]]]
    for change in ({"id": "z"}, {"video": "z"}, {"text": "z"}):
        first = {"id": "b#0", "video": "b", "text": "a dog"} | change
        others.append([Caption(**first), *ROWS[1:]])
    found = {CaptionSet("x", rows).fingerprint for rows in (ROWS, *others)}
    assert len(found) == 5 and CaptionSet("y", ROWS).fingerprint in found


@pytest.mark.parametrize(("share", "held_out"), [(0.01, 1), (0.3, 3), (0.99, 9)])
def test_a_split_is_by_video(share: float, held_out: int) -> None:
    captions = CaptionSet("x", (Caption(f"{n}#{i}", str(n), "a dog") for n in range(10) for i in range(3)))
    rest, held = captions.split(share, seed=0)
    assert len(held.videos) == held_out and len(held) == 3 * held_out
    assert set(rest.videos) | set(held.videos) == set(captions.videos) and len(rest) + len(held) == 30
    assert captions.split(share, seed=0)[1].videos == held.videos


@pytest.mark.parametrize(("share", "videos"), [(0.0, 3), (1.0, 3), (0.5, 1)])
def test_what_cannot_be_split(share: float, videos: int) -> None:
    captions = CaptionSet("x", (Caption(str(n), str(n), "a dog") for n in range(videos)))
    with pytest.raises(DataError, match="cannot split the captions by video"):
        captions.split(share, seed=0)
