"""Rendered collections in the places of real ones: what the verbs read of them fits together."""

from __future__ import annotations

from pathlib import Path

import pytest

from avs.captions.read import read_captions
from avs.core.errors import ConfigError
from avs.core.ids import parse_shot_id
from avs.demo.topics import MINI_TOPICS
from avs.pipeline.rehearsal.collections import render_captioned, render_searched, require_renderable
from avs.pipeline.rehearsal.recipe import SearchedRecipe
from avs.trecvid.editions import get_edition
from avs.trecvid.qrels import read_qrels
from avs.trecvid.topics import read_topics
from avs.video.find import find_videos


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_searched_collection_has_the_topics_and_shots_of_its_editions() -> None:
    render_searched("V3C2", SearchedRecipe(shots=120, editions=["tv22", "tv23"]), seed=0, workers=0)
    collection = get_edition("tv23").collection
    valid = Path("data/V3C2/V3C2.validShotTable").read_text().split()
    assert {f"{number}" for number in find_videos(Path("data/V3C2/VideoData"), ids="stem")} == set(valid[::2])
    for edition in ("tv22", "tv23"):
        topics = read_topics(Path(f"data/V3C2/TextData/{edition}.avs.txt"), edition=edition)
        first, last = get_edition(edition).topics["M"]
        assert [topic.id for topic in topics] == [str(number) for number in range(first, last + 1)]
        assert len({topic.text for topic in topics}) == min(last - first + 1, len(MINI_TOPICS))
        qrels = read_qrels(Path(f"data/V3C2/TextData/avs.qrels.{edition}"))
        assert set(qrels.topics) == {topic.id for topic in topics}
        made = read_qrels(Path("data/V3C2/rendered/qrels/avs.qrels.mini"))
        asked = {mini.text: mini.id for mini in MINI_TOPICS}
        for topic in topics:
            judged, mini = qrels.topics[topic.id], made.topics[asked[topic.text]]
            assert judged.shots == mini.shots and (judged.judgments == mini.judgments).all()
            assert all(collection.problem(shot) is None for shot in judged.shots)


def test_captioned_collections_share_no_video_and_are_read_as_what_they_stand_for() -> None:
    ruc, webvid = Path("data/tgif/TextData/tgif.caption.txt"), Path("data/webvid/TextData/results_2M_train.csv")
    render_captioned("tgif", 0, [ruc], 20, seed=0, workers=0)
    render_captioned("webvid", 1, [webvid], 20, seed=0, workers=0)
    tgif, pairs = read_captions(ruc), read_captions(webvid, format="webvid")
    assert len(tgif) == 100 and len(pairs) == 20 and len(tgif.videos) == len(pairs.videos) == 20
    videos = [{parse_shot_id(shot).video for shot in captions.videos} for captions in (tgif, pairs)]
    assert not videos[0] & videos[1]
    assert set(find_videos(Path("data/webvid/VideoData"), ids="stem")) == videos[1]
    assert tgif.texts[0] != pairs.texts[0], "videos of other numbers show other scenes"


def test_a_collection_cannot_be_trained_on_and_searched() -> None:
    with pytest.raises(ConfigError, match="trained on or searched, not both"):
        require_renderable(["tgif", "V3C1"], ["V3C1"])
    with pytest.raises(ConfigError, match="too many collections"):
        require_renderable([str(number) for number in range(50)], ["V3C1"])
