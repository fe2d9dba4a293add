"""Captions meet the videos they describe: which captions count, and under which names the videos are stored."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from pydantic import ValidationError
from tiny_captions import DIDEMO, GIF
from tiny_stores import SPEC

from avs.captions.read import read_captions
from avs.core.artifacts import Manifest
from avs.core.progress import Reporter
from avs.core.shots import read_shot_table
from avs.core.store_writer import FeatureWriter, ShotFeatures
from avs.pipeline.shots import make_shot_table, shot_source
from avs.pipeline.train.collection_recipe import CollectionRecipe
from avs.pipeline.train.collections import open_collection, remarks_of
from avs.video.find import find_videos, video_id
from avs.video.folder import VideoFolder


def make_store_of(folder: Path, shots: list[str]) -> Path:
    writer = FeatureWriter(folder, Manifest("feature-store", {"level": "shot"}, {}, SPEC.to_json()))
    for shot in shots:
        writer.add(ShotFeatures(shot, np.full((1, SPEC.dim), SPEC.dim**-0.5), np.zeros(1)))
    writer.commit(shots)
    return folder


def didemo(folder: Path, **more: object) -> CollectionRecipe:
    """DiDeMo's file with its published name, and a store of the videos as `avs shots --per-file` names them."""
    folder.mkdir(exist_ok=True)
    (folder / "test_data.json").write_text(json.dumps(DIDEMO))
    names = ("1@N00_2_ab", "3@N00_4_cd")
    store = make_store_of(folder / "store", [f"shot{video_id(name)}_1" for name in names])
    return CollectionRecipe.model_validate({"captions": folder / "test_data.json", "features": [store], **more})


def test_a_recipe_chooses_the_captions_of_a_video(tmp_path: Path) -> None:
    chosen = {
        "all": ("a dog", "a tree", "it barks"),
        "first": ("a dog", "a tree"),
        "paragraph": ("a dog it barks", "a tree"),
    }
    for how, texts in chosen.items():
        assert open_collection("d", didemo(tmp_path / how, captions_per_video=how)).captions.texts == texts
    with pytest.raises(ValidationError, match="captions_per_video"):
        CollectionRecipe.model_validate({"captions": "x", "features": ["y"], "captions_per_video": "last"})


def test_a_name_that_no_shot_can_have_is_found_under_its_encoded_id(tmp_path: Path) -> None:
    opened = open_collection("d", didemo(tmp_path))
    assert opened.captions.videos == ("shotx--1.40N00_2_ab_1", "shotx--3.40N00_4_cd_1")
    assert opened.captions.ids == ("1@N00_2_ab#0", "3@N00_4_cd#0", "1@N00_2_ab#1")


def test_counts_that_are_not_the_published_ones_are_said_once(tmp_path: Path) -> None:
    opened = open_collection("d", didemo(tmp_path, captions_per_video="first"))
    held_out = opened.with_captions(opened.captions.of_videos(opened.captions.videos[:1]))
    assert held_out.remark == opened.remark
    assert remarks_of([opened, held_out]) == [
        "note: test_data.json: 2 videos, 3 captions; the published part has 1,004 videos, 4,021 captions"
    ]


def write_gif(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgb8"
        for number in range(frames):
            picture = np.full((24, 32, 3), 60 * number % 250, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="rgb8")))
        container.mux(stream.encode())


def test_tgif_goes_from_its_captions_and_gifs_to_shots_frames_and_a_collection(tmp_path: Path) -> None:
    folder = tmp_path / "gifs"
    folder.mkdir()
    (tmp_path / "tgif.tsv").write_text("".join(f"{GIF.format(n)}\ta man is number {n}\n" for n in (1, 2)))
    captions = read_captions(tmp_path / "tgif.tsv")
    for url in (GIF.format(1), GIF.format(2)):
        write_gif(folder / url.rsplit("/", 1)[1], frames=12)
    videos = find_videos(folder)
    assert tuple(videos) == captions.videos == ("tumblr_me1_500", "tumblr_me2_500")

    source = shot_source(folder, None, detect=False, per_file=True, video_ids="stem")
    make_shot_table(source, tmp_path / "shots.tsv", workers=0, reporter=Reporter())
    shots = read_shot_table(tmp_path / "shots.tsv")
    for video in captions.videos:
        (frames,) = VideoFolder(videos).read(video, shots.of_video(video))
        assert (frames.status, frames.data.shape[1:]) == ("ok", (24, 32, 3)) and len(frames.data) > 1

    store = make_store_of(tmp_path / "store", list(shots.ids))
    opened = open_collection("tgif", CollectionRecipe(captions=tmp_path / "tgif.tsv", features=[store]))
    assert opened.captions.videos == shots.ids == ("shottumblr_me1_500_1", "shottumblr_me2_500_1")
