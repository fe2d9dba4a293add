"""Captions against videos by trained models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from avs.core.captions import CaptionSet
from avs.core.features import Features
from avs.core.progress import Reporter
from avs.pipeline.search.trained import Moved, load_trained
from avs.pipeline.search.zero_shot import RetrievalSystem
from avs.pipeline.train.collections import CaptionedCollection, require_known_videos, video_table
from avs.train.checkpoint import Checkpoint
from avs.train.embed import similarities


def trained_systems(
    checkpoints: Sequence[Checkpoint],
    stores: Mapping[str, Features],
    captions: CaptionSet,
    *,
    moved: Moved,
    device: str,
    reporter: Reporter,
) -> Iterator[RetrievalSystem]:
    """The models scored one after another, each only when its matrix is asked for.

    Args:
        stores: feature name -> store of the videos.

    Raises:
        SpecMismatchError: the stores are not those of the encoders a model was trained on.
        UnknownIdError: a video has none of the features; DataError: a model knows no word of a caption.
    """
    if not checkpoints:
        return
    collection = CaptionedCollection(captions.name, captions, stores)
    for checkpoint in checkpoints:
        found = {name: store.spec for name, store in stores.items()}
        checkpoint.require_specs(found, where=", ".join(str(store.folder) for store in stores.values()))
        require_known_videos(collection, list(checkpoint.video_features), where=captions.name)
    for trained in load_trained([checkpoint.folder for checkpoint in checkpoints], moved=moved, device=device):
        texts = trained.read(captions.texts, captions.ids, noun="caption")
        videos = video_table([collection], list(trained.checkpoint.video_features))
        reporter.say(f"score {trained.name}")
        yield RetrievalSystem(trained.name, iter([similarities(trained.model, texts, videos, device=device)]))


def selected_on_captions(checkpoints: Sequence[Checkpoint], captions: CaptionSet) -> list[str]:
    """A warning for each checkpoint whose best epoch was chosen on videos that these captions describe."""
    here = {name for video in captions.videos for name in (video, f"shot{video}_1")}
    shared = {checkpoint.folder: len(here.intersection(checkpoint.selected_on)) for checkpoint in checkpoints}
    return [
        f"warning: {folder} was selected on {count} of these {len(captions.videos)} videos: what it scores on them "
        f"says nothing about others"
        for folder, count in shared.items()
        if count
    ]
