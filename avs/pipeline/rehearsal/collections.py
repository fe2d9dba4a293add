"""Rendered collections in the places where recipes look for real ones: `data/NAME/`, as in RUC's VisualSearch."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from avs.captions.read import read_captions
from avs.core.artifacts import atomic_write
from avs.core.captions import Caption
from avs.core.errors import ConfigError
from avs.core.qrels import Qrels
from avs.core.topic import Topic
from avs.demo.collection import LAST_VIDEO, CollectionPaths, generate_collection
from avs.demo.judgments import write_qrels
from avs.demo.topics import MINI_TOPICS
from avs.pipeline.rehearsal.recipe import SearchedRecipe
from avs.trecvid.editions import Edition, get_edition
from avs.trecvid.qrels import read_qrels
from avs.trecvid.topics import write_topics

DATA = Path("data")
FIRST_CAPTIONED, VIDEOS_OF_CAPTIONED = 50_001, 1_000  # no two collections have a video of one number


def render_searched(name: str, searched: SearchedRecipe, **options: Any) -> CollectionPaths:
    """Render a collection with videos of its editions' numbers, and write its topics, judgments and valid shots.

    Args:
        options: of generate_collection.
    """
    editions = [get_edition(edition) for edition in searched.editions]
    first = editions[0].collection.first_video
    made = generate_collection(DATA / name / "rendered", shots=searched.shots, first_video=first, **options)
    _lay_out(name, made)
    shutil.copyfile(made.valid_shots, DATA / name / f"{name}.validShotTable")
    for edition in editions:
        _write_edition(name, edition, made)
    return made


def render_captioned(name: str, number: int, captions: Sequence[Path], shots: int, **options: Any) -> CollectionPaths:
    """Render a collection with captions, and write these where recipes read them.

    Args:
        number: of the collection, from 0; it decides what its videos are called, and so what they show.
        captions: files; a .csv is written as WebVid's, with one caption of each video, and any other as RUC's.
        options: of generate_collection.
    """
    first = FIRST_CAPTIONED + number * VIDEOS_OF_CAPTIONED
    made = generate_collection(DATA / name / "rendered", shots=shots, split="train", first_video=first, **options)
    _lay_out(name, made)
    assert made.captions  # every training split has them
    for path in captions:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            _write_webvid(read_captions(made.captions, per_video="first"), path)
        else:
            shutil.copyfile(made.captions, path)
    return made


def _lay_out(name: str, made: CollectionPaths) -> None:
    link = DATA / name / "VideoData"
    if not link.is_symlink():
        link.symlink_to(made.videos.relative_to(link.parent))


def _write_edition(name: str, edition: Edition, made: CollectionPaths) -> None:
    """The topics of an edition's main task, which ask for what those of the mini collection ask for; and judgments."""
    assert made.topics and made.qrels  # every test split has them
    judged = read_qrels(made.qrels).topics
    asked = _mini_topics(edition)
    topics = [Topic(topic, mini.text) for topic, mini in asked.items()]
    write_topics(topics, DATA / name / "TextData" / f"{edition.id}.avs.txt")
    judgments = {topic: replace(judged[mini.id], topic=topic) for topic, mini in asked.items()}
    write_qrels(Qrels(judgments), judgments_of(name, edition.id))


def judgments_of(name: str, edition: str) -> Path:
    """The judgments of an edition's topics in a collection."""
    return DATA / name / "TextData" / f"avs.qrels.{edition}"


def _mini_topics(edition: Edition) -> Mapping[str, Any]:
    """Id of a topic of the edition -> the topic of the mini collection in its place; editions begin with others."""
    first, last = edition.topics["M"]
    return {str(number): MINI_TOPICS[number % len(MINI_TOPICS)] for number in range(first, last + 1)}


def _write_webvid(captions: Iterable[Caption], path: Path) -> None:
    with atomic_write(path) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["videoid", "name"])
        rows.writerows([caption.video, caption.text] for caption in captions)


def require_renderable(captioned: Collection[str], searched: Collection[str]) -> None:
    """Check that every collection is either captioned or searched, and that there are numbers for all videos.

    Raises:
        ConfigError: it cannot be rendered.
    """
    both = sorted(set(captioned) & set(searched))
    if both:
        raise ConfigError(
            "a rendered collection is trained on or searched, not both",
            got=", ".join(both),
            next_step="give the collection that is trained on another name in the recipe",
        )
    most = (LAST_VIDEO - FIRST_CAPTIONED) // VIDEOS_OF_CAPTIONED
    if len(captioned) > most:
        raise ConfigError("too many collections to train on", got=f"{len(captioned)}", wanted=f"at most {most}")
