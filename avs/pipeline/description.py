"""Descriptions of artefacts and of the environment, as data: what `avs info` prints."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import manifest_path, read_manifest, require_path
from avs.trecvid.file_kind import QRELS, RUN, TOPICS, file_kind
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run_columns
from avs.trecvid.topics import read_topics
from avs.video.sampling import NO_LIMIT

NEEDED_BY = {
    "numpy": "every verb",
    "torch": "extract-features, train-..., search",
    "transformers": "extract-features, train-..., search",
    "matplotlib": "train-... (the curve)",
    "tensorboardX": "train-...",
    "gensim": "the text feature word2vec",
    "pyarrow": "import-features of clip-retrieval's parquet",
    "av": "shots, extract-features",
    "lxml": "make-run, check-run, eval of XML runs",
    "safetensors": "extract-features, search",
    "pillow": "shots (keyframes), demo",
    "pyyaml": "make-run, check-run",
}


MANY = 12  # numbers of one kind; more are told by their range


def describe_artefact(path: Path) -> dict[str, Any]:
    """The manifest of an artefact, with the shape of a feature store, or what a trained model reads and how good it is.

    Raises:
        AvsError: there is no such artefact.
        FormatError: it has no manifest, and is no run, qrels or topic file.
    """
    if path.is_file() and not manifest_path(path).is_file():
        facts = _describe_trecvid_file(path)
        if facts:
            return facts
    manifest = read_manifest(require_path(path, what="artefact"))
    if manifest["type"] == "feature-store":
        return manifest | _describe_store(path)
    if manifest["type"] == "frame-cache":
        return manifest | _describe_frame_cache(path)
    if manifest["type"] in ("checkpoint", "training"):
        return _describe_model(path) | {"made by": manifest}
    return manifest


def _describe_trecvid_file(path: Path) -> dict[str, Any]:
    """What a file that avs did not write is: a run, judgments or topics; {} if it is none of these."""
    with open(path, "rb") as file:
        kind = file_kind(file.read(100_000))
    facts: dict[str, Any] = {"file": str(path), "type": kind, "manifest": "none: avs did not write this file"}
    if kind == RUN:
        runs = read_run_columns(path)
        return facts | {"runs": {name: f"{len(topics)} topics" for name, topics in runs.items()}}
    if kind == QRELS:
        qrels = read_qrels(path)
        return facts | {
            "topics": len(qrels), "judgments": sum(map(len, qrels.topics.values())),
            "relevant": sum(len(topic.relevant) for topic in qrels.topics.values()),
        }  # fmt: skip
    if kind == TOPICS:
        topics = read_topics([path])
        return facts | {"topics": len(topics), "first": f"{topics[0].id} {topics[0].text}"}
    return {}


def _describe_store(path: Path) -> dict[str, Any]:
    from avs.core.features import kept_frames
    from avs.core.store import FeatureStore
    from avs.features.account import main_figures, read_account

    store, told = FeatureStore(path), read_account(path)
    rows, dim = store.vectors.shape
    level = f"{store.level} level" + (f", the {kept} of a shot farthest apart" if (kept := kept_frames(store)) else "")
    return {
        "vectors": f"{rows} x {dim} {store.vectors.dtype}, {len(store)} shots, {level}",
        "extraction": told and main_figures(told),
        "problems": {problem.shot: f"{problem.status}: {problem.reason}" for problem in store.problems},
    }


def _describe_frame_cache(path: Path) -> dict[str, Any]:
    from avs.video.frame_cache import FrameCache

    cache = FrameCache(path)
    size, counts = cache.manifest["counts"]["bytes"], np.diff(cache.offsets)
    return {
        "frames": f"{len(cache.pts_s)} of {len(cache)} shots, {counts.min()} to {counts.max()} a shot, "
        f"{cache.size} x {cache.size} pixels, {size / 1e9:.3f} GB",
        "problems": {shot: f"{status}: {reason}" for shot, status, reason in cache.problems},
    }


def _describe_model(path: Path) -> dict[str, Any]:
    """A checkpoint, or the best one of a training."""
    from avs.train.checkpoint import TRAINED_ON, read_checkpoint

    checkpoint = read_checkpoint(path)
    facts: dict[str, Any] = {
        "checkpoint": str(checkpoint.folder),
        "architecture": checkpoint.architecture,
        "epoch": checkpoint.epoch,
        "validated on": dict(checkpoint.validation),
        "validation": {name: round(value, 4) for name, value in checkpoint.measures.items()},
        "video features": {name: f"{spec.dim} dimensions" for name, spec in checkpoint.video_features.items()},
        "text features": {feature["name"]: _describe_text_feature(feature) for feature in checkpoint.text_features},
    }
    if checkpoint.sampling:
        facts["frames of a shot"] = dict(checkpoint.sampling)
    if checkpoint.trained_on is not None:
        facts["trained on"] = f"{len(checkpoint.trained_on)} videos ({TRAINED_ON})"
    for side, shares in checkpoint.attention.items():
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        facts[f"{side} attention, mean over {'videos' if side == 'video' else 'texts'} and heads"] = {
            name: f"{share:.4f}" for name, share in ordered
        }
    return facts


def _describe_text_feature(feature: Mapping[str, Any]) -> str:
    if "vocabulary" in feature:
        return f"{feature['kind']}, {len(feature['vocabulary']['words'])} words"
    return str(feature["kind"])


def describe_environment() -> dict[str, str | int]:
    """The version of every package with the verbs that need it, and the devices that torch sees."""
    facts: dict[str, str | int] = {}
    for package, verbs in NEEDED_BY.items():
        try:
            facts[package] = f"{version(package)} (for {verbs})"
        except PackageNotFoundError:
            facts[package] = f"missing: pip install {package} (for {verbs})"
    if find_spec("torch"):
        import torch

        cuda = torch.cuda.is_available()
        facts["cuda"] = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}" if cuda else "none"
        facts["cpu threads"] = torch.get_num_threads()
    if find_spec("torchvision"):
        facts["torchvision"] = _describe_torchvision()
    return facts


def _describe_torchvision() -> str:
    """transformers cannot import its models if torchvision is installed but does not fit torch."""
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        return f"installed but broken ({error}): pip uninstall torchvision, avs does not need it"
    return f"{torchvision.__version__} (not needed)"


def fact_lines(facts: Mapping[str, Any], indent: str = "") -> list[str]:
    """Facts as lines of text; nested ones are indented, many numbers are told by their range, no limit by words."""
    lines = []
    for key, value in facts.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and len(value) > MANY and all(isinstance(v, int | float) for v in value.values()):
            low, high = min(value.values()), max(value.values())
            lines.append(f"{indent}{key}: {len(value)} numbers, {low:g} to {high:g} (--json lists them)")
        elif isinstance(value, Mapping):
            lines += [f"{indent}{key}:", *fact_lines(value, indent + "  ")] if value else [f"{indent}{key}: none"]
        else:
            lines.append(f"{indent}{key}: {'no limit' if value == NO_LIMIT else value}")
    return lines
