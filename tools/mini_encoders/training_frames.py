"""What the small encoders learn from: still frames of random scenes, and captions of them.

The scenes come from their own stream of random numbers, so none is a scene of the test or train split.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from PIL import Image

from avs.demo.captions import CaptionStyle, pick, say
from avs.demo.patterns import Pattern
from avs.demo.render import ShotRenderer
from avs.demo.scenes import (
    ASPECT,
    BACKGROUNDS,
    COLOURS,
    KINDS,
    MAX_COUNT,
    RELATIONS,
    SIZES,
    Scene,
    member_offsets,
    place,
    related,
    sample_scene,
    sample_thing,
    zone,
)

STREAM = 3  # first word of the seed; the splits of the collection have other first words
CHUNK = 500  # frames that one job renders
MAX_THINGS = 3
GRID = 8  # patches per side of an image
HORIZONTAL, VERTICAL = ("left", "middle", "right"), ("top", "middle", "bottom")
COUNTS = tuple(range(1, MAX_COUNT + 1))
SLOTS: tuple[tuple[str, tuple[str, ...] | tuple[int, ...]], ...] = (
    ("kind", KINDS),
    ("colour", COLOURS),
    ("size", SIZES),
    ("count", COUNTS),
    ("horizontal", HORIZONTAL),
    ("vertical", VERTICAL),
)


@dataclass(frozen=True, slots=True)
class Diet:
    """The training data of one encoder: how often it sees each kind, and the style of its captions.

    Attributes:
        favourites: kinds that it sees three times as often as the others.
        style: what its captions mention.
        wrong: share of captions that belong to another frame.
        junk: share of captions with a meaningless word, as alt text has.
    """

    favourites: tuple[str, ...]
    style: CaptionStyle
    wrong: float = 0.0
    junk: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """N frames and the scenes that they show.

    Attributes:
        pixels: (N, S, S, 3) uint8, resized as the encoder's preprocessing does.
        scenes, times_s: the scene of each frame, and the second of the scene that it shows.
        things: (N, 3, 6) int8 codes of the kind, colour, size, count and position of each thing; -1: no thing.
        relations: (N, 3, 3) int8 code of how thing a is placed to thing b in this frame; -1: undecided.
        backgrounds: (N,) int8 codes.
        owners: (N, 8, 8) int8: the thing at the centre of each patch; -1: none.
    """

    pixels: np.ndarray
    scenes: tuple[Scene, ...]
    times_s: np.ndarray
    things: np.ndarray
    relations: np.ndarray
    backgrounds: np.ndarray
    owners: np.ndarray


def render_frames(number: int, *, seed: int, size: int, crop: bool, favourites: Sequence[str], workers: int) -> Frames:
    """Render one frame of each of `number` random scenes.

    Args:
        size: side of the square images, in pixels.
        crop: cut the middle square out of each frame; otherwise the frame is squeezed into a square.
        favourites: kinds that appear three times as often as the others.
        workers: number of processes.
    """
    chunks = range(-(-number // CHUNK))
    jobs = [(seed, chunk, size, crop, tuple(favourites)) for chunk in chunks]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_render_chunk, jobs))
    pixels = np.concatenate([p for p, _, _ in parts])[:number]
    scenes = tuple(scene for _, s, _ in parts for scene in s)[:number]
    times_s = np.concatenate([t for _, _, t in parts])[:number]
    codes = [_codes(scene, time_s) for scene, time_s in zip(scenes, times_s, strict=True)]
    backgrounds = np.array([BACKGROUNDS.index(s.background) for s in scenes], dtype=np.int8)
    owners = np.stack([_owners(scene, time_s, crop) for scene, time_s in zip(scenes, times_s, strict=True)])
    things, relations = (np.stack([c[i] for c in codes]) for i in (0, 1))
    return Frames(pixels, scenes, times_s, things, relations, backgrounds, owners)


def _render_chunk(job: tuple[int, int, int, bool, tuple[str, ...]]) -> tuple[np.ndarray, list[Scene], np.ndarray]:
    import torch

    torch.set_num_threads(1)
    seed, chunk, size, crop, favourites = job
    rng = np.random.default_rng([STREAM, seed, chunk])
    odds = np.array([3.0 if kind in favourites else 1.0 for kind in KINDS])
    pixels, scenes, times = [], [], []
    for _ in range(CHUNK):
        first = sample_thing(rng, kind=rng.choice(KINDS, p=odds / odds.sum()))
        scene = sample_scene(rng, things=[first])
        time_s = rng.uniform(0, scene.duration_s)
        pixels.append(_resize(_compressed(ShotRenderer(scene).frame(time_s), rng), size, crop))
        scenes.append(scene)
        times.append(time_s)
    return np.stack(pixels), scenes, np.array(times)


def _compressed(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The frame after lossy compression with halved colour resolution, as in video."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=int(rng.integers(55, 92)), subsampling="4:2:0")
    return np.asarray(Image.open(file))


def _resize(frame: np.ndarray, size: int, crop: bool) -> np.ndarray:
    import torch

    height, width, _ = frame.shape
    if crop:
        left = (width - height) // 2
        frame = frame[:, left : left + height]
    pixels = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(pixels, (size, size), mode="bicubic", antialias=True)
    return small[0].permute(1, 2, 0).numpy()


def _codes(scene: Scene, time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """`things` and `relations` of one frame, as in Frames."""
    things = np.full((MAX_THINGS, len(SLOTS)), -1, dtype=np.int8)
    relations = np.full((MAX_THINGS, MAX_THINGS), -1, dtype=np.int8)
    placements = [place(thing, time_s, scene.duration_s) for thing in scene.things]
    for i, thing in enumerate(scene.things):
        across, down = zone(placements[i])
        values = (thing.kind, thing.colour, thing.size, thing.count, across, down)
        things[i] = [known.index(value) for (_, known), value in zip(SLOTS, values, strict=True)]
        for j in range(len(placements)):
            relation = related(placements[i], placements[j]) if i != j else None
            relations[i, j] = RELATIONS.index(relation) if relation else -1
    return things, relations


def _owners(scene: Scene, time_s: float, crop: bool) -> np.ndarray:
    """`owners` of one frame, as in Frames."""
    middles = (np.arange(GRID) + 0.5) / GRID
    across = (ASPECT - 1) / 2 + middles if crop else middles * ASPECT
    owners = np.full((GRID, GRID), -1, dtype=np.int8)
    for i, thing in enumerate(scene.things):
        at = place(thing, time_s, scene.duration_s)
        for dx, dy in member_offsets(thing.count):
            inside_x = np.abs(across - at.x - dx * at.side) < at.side / 2
            inside_y = np.abs(middles - at.y - dy * at.side) < at.side / 2
            owners[inside_y[:, None] & inside_x] = i
    return owners


def pattern_codes(pattern: Pattern) -> tuple[np.ndarray, int, int]:
    """(3, 6) int8 codes of the things (-1: open, -2: no thing), and the codes of background and relation (-1: open)."""
    things = np.full((MAX_THINGS, len(SLOTS)), -2, dtype=np.int8)
    for i, thing in enumerate(pattern.things):
        for slot, (name, known) in enumerate(SLOTS):
            value = getattr(thing, name)
            things[i, slot] = -1 if value is None else known.index(value)
    background = -1 if pattern.background is None else BACKGROUNDS.index(pattern.background)
    return things, background, -1 if pattern.relation is None else RELATIONS.index(pattern.relation)


def draw_captions(
    frames: Frames, rows: np.ndarray, diet: Diet, rng: np.random.Generator
) -> tuple[list[str], list[Pattern]]:
    """A caption of each of these frames, and the pattern that it puts into words."""
    texts, patterns = [], []
    for row in rows:
        if rng.random() < diet.wrong:
            row = rng.integers(len(frames.scenes))
        pattern = pick(frames.scenes[row], rng, diet.style, time_s=float(frames.times_s[row]))
        text = say(pattern, rng, bare=bool(rng.random() < diet.style.bare))
        texts.append(_with_junk(text, rng) if rng.random() < diet.junk else text)
        patterns.append(pattern)
    return texts, patterns


def _with_junk(text: str, rng: np.random.Generator) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    word = "".join(letters[int(i)] for i in rng.integers(0, len(letters), int(rng.integers(2, 8))))
    return f"{word} {text}" if rng.random() < 0.5 else f"{text} {word}"
