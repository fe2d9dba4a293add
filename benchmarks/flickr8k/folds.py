"""1,000 images of Flickr8k, each with five captions and a CLIP ViT-B/32 vector, in five folds.

The folder of data has these files:

    clip_embeddings.npy   (1000, 512) float16 image features
    captions.json         in the same order, one caption per image: the query that should find it
    Flickr8k.token.txt    all captions of Flickr8k, five per image

The query of an image is the first of its five captions. Three of the 1,000 queries are the first caption of two images;
the image that comes first in the token file is then the answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avs.captions.read import read_captions
from avs.core.captions import CaptionSet

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"  # beside the repository
FOLDS, SEED = 5, 0


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Images; to a model they are videos.

    Attributes:
        captions: five per image; `captions.videos` are the images in the order of `features`.
        features: (N, D) float32 of length 1.
    """

    captions: CaptionSet
    features: np.ndarray

    def of(self, images: np.ndarray) -> Images:
        """The images with these numbers, ascending, with all their captions."""
        names = [self.captions.videos[image] for image in images.tolist()]
        return Images(self.captions.of_videos(names), self.features[images])

    def queries(self) -> CaptionSet:
        """The first caption of each image, in the order of `features`."""
        return CaptionSet("queries", (caption for caption in self.captions if caption.id == f"{caption.video}#0"))


def read_images(folder: Path = DATA / "flickr8k_clip") -> Images:
    """The images of a folder with the files above."""
    everything = read_captions(folder / "Flickr8k.token.txt", format="flickr8k")
    image_of: dict[str, str] = {}
    own: dict[str, list] = {}
    for caption in everything:
        if caption.id == f"{caption.video}#0":
            image_of.setdefault(caption.text, caption.video)
        own.setdefault(caption.video, []).append(caption)
    names = [image_of[text.strip()] for text in json.loads((folder / "captions.json").read_text())]
    features = np.load(folder / "clip_embeddings.npy").astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return Images(CaptionSet("flickr8k", (caption for name in names for caption in own[name])), features)


def split(images: Images) -> list[tuple[Images, Images]]:
    """Five folds: (800 images to train on, 200 to test on); each image is tested once."""
    everyone = np.arange(len(images.features))
    tests = np.array_split(np.random.default_rng(SEED).permutation(everyone), FOLDS)
    return [(images.of(np.setdiff1d(everyone, test)), images.of(np.sort(test))) for test in tests]
