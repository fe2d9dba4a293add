"""The footprint of a trained model: what it keeps of a shot, what a search computes, and how fast that is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from avs.core.artifacts import read_manifest, require_path
from avs.core.errors import ConfigError, FormatError
from avs.core.list_files import is_trained_model, model_name
from avs.models.architectures import Architecture, architectures, make_config
from avs.models.architectures.footprint import Footprint
from avs.models.batch import Batch, Sequences
from avs.models.retrieval import RetrievalModel
from avs.models.scorer import PackedModel
from avs.pipeline.scoring_rate import SECONDS, Rate, at_once, pair_rate, rate_of
from avs.train.checkpoint import read_checkpoint

V3C2_SHOTS = 1_425_454
DTYPE_BYTES = {"float16": 2, "float32": 4}
QUERIES = (1, 30)  # one that somebody waits for, and the topics of a year in one pass
FRAMES, WORDS = 12, 10  # of a shot and of a query, for models that read any number


@dataclass(frozen=True, slots=True)
class StoreSize:
    """What the stores hold of a shot from which a model searches or reranks.

    Attributes:
        what: in words.
        numbers: of a shot.
        embedded: whether these are the model's embeddings; otherwise it makes them anew, once in a pass.
    """

    what: str
    numbers: int
    embedded: bool


@dataclass(frozen=True, slots=True)
class ModelWork:
    """Multiply-adds of the parts of a model, and their parameters.

    Attributes:
        frame: the vision tower, for one frame; None: the model reads features.
        shot: from the vectors of frames, or the features, to an embedding.
        query: from tokens, or text features, to an embedding.
        video_parameters: of the tower and all that only videos go through.
        other_parameters: of the text side, and of what both sides share.
    """

    frame: int | None
    shot: int
    query: int
    video_parameters: int
    other_parameters: int


@dataclass(frozen=True, slots=True)
class FootprintReport:
    """All that `avs info --footprint` says.

    Attributes:
        frames: of a shot, in `store` and `work`.
        pairs: number of queries -> pairs a second, of a search over embeddings in memory.
        shots: embeddings a second, from what `store` holds; None: `store` holds them.
        threads: of the measurement, on the CPU.
    """

    name: str
    architecture: str
    frames: int
    footprint: Footprint
    store: StoreSize
    work: ModelWork
    pairs: Mapping[int, Rate]
    shots: Rate | None
    threads: int


def footprint_to_json(report: FootprintReport) -> dict[str, Any]:
    """A report as JSON data, with the sizes and times of V3C2 that follow from it."""
    own, work = report.footprint, report.work
    return {
        "model": report.name,
        "architecture": report.architecture,
        "frames": report.frames,
        "shot": _sizes(own.shot_numbers),
        "store": {"what": report.store.what, **_sizes(report.store.numbers)},
        "query": _sizes(own.query_numbers),
        "multiply_adds": {
            "pair": own.pair_multiply_adds,
            "query_once": own.query_multiply_adds,
            "frame_tower": work.frame,
            "shot_from_store": 0 if report.store.embedded else work.shot,
            "shot_from_frames": work.shot,
            "query_embedding": work.query,
        },
        "parameters": {"video_side": work.video_parameters, "others": work.other_parameters},
        "measured": {
            "device": "cpu",
            "threads": report.threads,
            "pairs_per_s": {queries: asdict(rate) for queries, rate in report.pairs.items()},
            "shots_per_s": None if report.shots is None else asdict(report.shots),
        },
        "V3C2": {
            "shots": V3C2_SHOTS,
            "shot_gib": _gib(own.shot_numbers),
            "store_gib": _gib(report.store.numbers),
            "s_per_query": {queries: V3C2_SHOTS / rate.per_s for queries, rate in report.pairs.items()},
            "s_to_embed": None if report.shots is None else V3C2_SHOTS / report.shots.per_s,
        },
    }


def footprint_lines(report: FootprintReport) -> Iterator[str]:
    """A report as a table in plain text."""
    own, work = report.footprint, report.work
    yield f"footprint of {report.name}, {report.architecture}, {report.frames} frames a shot"
    yield ""
    yield f"{'':44}{'numbers':>12}{'float16':>14}{'float32':>14}{'V3C2, float16':>16}"
    for what, numbers, kept in (
        ("embedding of a shot, all that a score needs", own.shot_numbers, True),
        (report.store.what, report.store.numbers, True),
        ("embedding of a query", own.query_numbers, False),
    ):
        sizes = "".join(f"{numbers * size:>8,} bytes" for size in DTYPE_BYTES.values())
        whole = f"{_gib(numbers)['float16']:>12.2f} GiB" if kept else ""
        yield f"{what:44}{numbers:>12,}{sizes}{whole}"
    yield ""
    yield f"{'multiply-adds':44}{'count':>20}"
    for what, count in (
        ("score of a query and a shot", own.pair_multiply_adds),
        ("score, once for a query", own.query_multiply_adds),
        ("a frame through the vision tower", work.frame),
        (f"embedding of a shot, {'its frames apart' if work.frame else 'from its features'}", work.shot),
        ("embedding of a query", work.query),
    ):
        if count is not None:
            yield f"{what:44}{count:>20,}"
    yield f"{'parameters, video side':44}{work.video_parameters:>20,}"
    yield f"{'parameters, others':44}{work.other_parameters:>20,}"
    yield ""
    yield from _measured_lines(report)


def _measured_lines(report: FootprintReport) -> Iterator[str]:
    threads = "1 thread" if report.threads == 1 else f"{report.threads} threads"
    yield f"measured here, {threads} of the CPU; a search over embeddings in memory; V3C2 has {V3C2_SHOTS:,} shots"
    for queries, rate in report.pairs.items():
        asked = "1 query" if queries == 1 else f"{queries} queries at once"
        whole = f"V3C2: {V3C2_SHOTS / rate.per_s:,.3g} s a query"
        yield f"  {asked:20}{rate.per_s:>14,.0f} pairs/s  {_of_rounds(rate, 'pairs')}  {whole}"
    if report.shots is not None:
        rate = report.shots
        whole = f"V3C2: {V3C2_SHOTS / rate.per_s:,.0f} s a pass, for all its queries"
        yield f"  {'embedding a shot':20}{rate.per_s:>14,.0f} shots/s  {_of_rounds(rate, 'shots')}  {whole}"


def _of_rounds(rate: Rate, unit: str) -> str:
    return f"(best of {rate.rounds} x {rate.count:,} {unit}; {rate.per_cpu_s:,.0f} a CPU second)"


def _sizes(numbers: int) -> dict[str, Any]:
    return {"numbers": numbers, "bytes": {dtype: numbers * size for dtype, size in DTYPE_BYTES.items()}}


def _gib(numbers: int) -> dict[str, float]:
    """Dtype -> GiB of so many numbers for every shot of V3C2."""
    return {dtype: V3C2_SHOTS * numbers * size / 2**30 for dtype, size in DTYPE_BYTES.items()}


def checkpoint_footprint(path: Path, *, seconds: float = SECONDS) -> FootprintReport:
    """The footprint of a checkpoint, or of the best one of a training.

    Raises:
        FormatError: something else is there, or it is not complete.
        ConfigError: the architecture does not state its footprint.
    """
    folder = require_path(path, what="trained model")
    if not is_trained_model(folder):
        raise FormatError(
            "only a trained model has a footprint",
            where=folder,
            got=_type_of(folder),
            wanted="the folder of a checkpoint, or of a training",
            next_step="name the folder of a training, such as avs info models/xclip --footprint",
        )
    checkpoint = read_checkpoint(folder)
    config = make_config(checkpoint.architecture, checkpoint.config)
    name = model_name(checkpoint.folder)
    return model_footprint(name, checkpoint.architecture, config, checkpoint.load_model(), seconds=seconds)


def model_footprint(
    name: str, architecture: str, config: Any, model: RetrievalModel, *, seconds: float = SECONDS
) -> FootprintReport:
    """The footprint of a model in eval mode, on the CPU. It can be searched with afterwards, and not be trained.

    Args:
        name: what to call it.
        config: of the architecture.
        seconds: to measure for, for each rate.

    Raises:
        ConfigError: the architecture does not state its footprint.
    """
    made = architectures.get(architecture)
    if made.footprint is None:
        raise ConfigError(
            "the architecture does not state its footprint",
            got=architecture,
            next_step="give its Architecture a `footprint`, as those in avs/models/architectures have",
        )
    own, frames = made.footprint(config), config.max_frames if made.backbone else _most_frames(config)
    store = _store_size(made, config, own, frames)
    work = _work(made, config, model, frames)
    return FootprintReport(
        name=name,
        architecture=architecture,
        frames=frames,
        footprint=own,
        store=store,
        work=work,
        pairs={queries: pair_rate(model, own, queries, seconds) for queries in QUERIES},
        shots=None if store.embedded else _shot_rate(model, made, config, frames, store, work.shot, seconds),
        threads=torch.get_num_threads(),
    )


def multiply_adds(job: Callable[[], object]) -> int:
    """The multiply-adds of the matrix products of a job."""
    # with gradients no product is fused with what follows it: the counter does not know fused ones
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        job()
    return int(counter.get_total_flops()) // 2


def sample_videos(made: Architecture, config: Any, *, shots: int, frames: int) -> Batch:
    """Random shots, as vectors of frames for a model on a CLIP, as features for any other."""
    lengths = torch.full((shots,), frames)
    if made.backbone:
        return Batch(sequences={config.video_name: Sequences(torch.randn(shots, frames, config.dim), lengths)})
    return Batch(
        vectors={name: torch.randn(shots, dim) for name, dim in getattr(config, "video", {}).items()},
        sequences={
            name: Sequences(torch.randn(shots, frames, dim), lengths)
            for name, dim in getattr(config, "video_frames", {}).items()
        },
    )


def sample_query(made: Architecture, config: Any) -> Batch:
    """A random query of as many tokens as a model on a CLIP reads, or of WORDS words."""
    if made.backbone:
        tokens = torch.zeros(1, config.max_words, dtype=torch.int64)
        tokens[0, -1] = config.backbone["text_config"]["eos_token_id"]
        return Batch(sequences={config.text_name: Sequences(tokens, torch.tensor([config.max_words]))})
    words = Sequences(torch.zeros(1, WORDS, dtype=torch.int64), torch.tensor([WORDS]))
    return Batch(
        vectors={name: torch.randn(1, dim) for name, dim in getattr(config, "text", {}).items()},
        sequences=dict.fromkeys(getattr(config, "text_tokens", {}), words),
    )


def _most_frames(config: Any) -> int:
    return min(getattr(config, "max_frames", None) or FRAMES, FRAMES)


def _type_of(folder: Path) -> str:
    try:
        return str(read_manifest(folder)["type"])
    except FormatError:
        return "a folder without a manifest" if folder.is_dir() else "a file without a manifest"


def _store_size(made: Architecture, config: Any, own: Footprint, frames: int) -> StoreSize:
    if made.backbone and not config.pairwise:
        return StoreSize("shot-level store of its embeddings", own.shot_numbers, True)
    if made.backbone:
        return StoreSize(f"frame-level store, {frames} frames without pads", frames * config.dim, False)
    vectors, of_frames = (sum(getattr(config, name, {}).values()) for name in ("video", "video_frames"))
    also = f", {frames} frames of those at frame level" if of_frames else ""
    return StoreSize(f"stores of the features that it reads{also}", vectors + frames * of_frames, False)


def _work(made: Architecture, config: Any, model: RetrievalModel, frames: int) -> ModelWork:
    video, query = sample_videos(made, config, shots=1, frames=frames), sample_query(made, config)
    tower = None
    if made.backbone:
        backbone: Any = model.backbone
        pixels = torch.zeros(1, 1, 3, config.image_size, config.image_size, dtype=torch.uint8)
        tower = multiply_adds(lambda: backbone.frames(pixels, torch.ones(1, 1, dtype=torch.bool)))
    of_videos = _parameters(model.video_side())
    return ModelWork(
        frame=tower,
        shot=multiply_adds(lambda: model.embed_videos(video)),
        query=multiply_adds(lambda: model.embed_texts(query)),
        video_parameters=of_videos,
        other_parameters=_parameters([model]) - of_videos,
    )


def _parameters(modules: Iterable[nn.Module]) -> int:
    return sum({id(p): p.numel() for module in modules for p in module.parameters()}.values())


def _shot_rate(
    model: RetrievalModel, made: Architecture, config: Any, frames: int, store: StoreSize, work: int, seconds: float
) -> Rate:
    """Embeddings a second of the model as it searches, from features or vectors of frames in memory."""
    shots = min(at_once(4 * store.numbers, work), 1024)
    videos = sample_videos(made, config, shots=shots, frames=frames)
    ready = model if model.pairwise else PackedModel(model, chunk_shots=shots).model

    @torch.inference_mode()
    def once() -> object:
        return ready.embed_videos(videos)

    return rate_of(once, shots, seconds)
