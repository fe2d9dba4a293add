"""Checkpoints of encoders from the weights that their authors published, for `--model FAMILY --weights FOLDER`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avs.core.artifacts import (
    Manifest,
    atomic_write,
    complete_folder,
    fingerprint_content,
    is_up_to_date,
    require_path,
    require_place,
)
from avs.core.errors import ConfigError, FormatError, did_you_mean, typed
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.features.families import families
from avs.features.family import Family, Published
from avs.features.preprocess import write_preprocessing
from avs.features.weights import weight_files
from avs.train.weights import read_foreign_weights, write_weights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_TYPE = "encoder-weights"
UNFINISHED = ".unfinished"  # a file in a folder that is being written
WRAPPED = "module."  # before every name, of a network that was trained on several devices
TO_TENSORS = """
import torch
checkpoint = torch.load("{file}", map_location="cpu", weights_only=False)
state = checkpoint.get("state_dict", checkpoint.get("model", checkpoint))
torch.save({{name: value for name, value in state.items() if torch.is_tensor(value)}}, "tensors.pth")
""".strip()


def import_weights(
    family: str,
    sources: Sequence[Path],
    out: Path,
    *,
    variant: str | None = None,
    force: bool = False,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the checkpoint folder `out`: model.safetensors, config.json, preprocessor_config.json and a manifest.

    Args:
        family: whose weights they are.
        sources: state dicts, or checkpoint folders, that together hold the weights.
        variant: which of the family's published checkpoints; None: the first.

    Returns:
        Its path, family and variant, with the names that were left out; or "up_to_date".

    Raises:
        ConfigError: a family or variant that cannot be imported, or something else in the place of `out`.
        FormatError: a file that holds more than tensors, is damaged, or whose tensors are not those of the network.
    """
    cls = importable(family)
    variant, published = _published(family, cls, variant)
    files = _files(sources)
    manifest = Manifest(
        type=WEIGHTS_TYPE,
        config={"family": family, "variant": variant, **published.config},
        inputs={path.name: fingerprint_content(path) for path in files},
        paths={path.name: path for path in files},
    )
    require_place(out, WEIGHTS_TYPE, sign=UNFINISHED)
    if is_up_to_date(out, manifest, force=force, reporter=reporter):
        return {"path": str(out), "up_to_date": True}
    weights, left_out = _converted(family, cls, published, files)
    _write(out, cls, published, weights, manifest)
    if left_out:
        reporter.say(f"left out, as vectors do not depend on them: {some(left_out)}")
    reporter.say(f"wrote {out}: {family} {variant}, {len(weights)} tensors")
    reporter.suggest(
        f"avs extract-features --videos VIDEOS --shots SHOTS --model {family} --weights {typed(out)} -o FEATURES"
    )
    return {"path": str(out), "family": family, "variant": variant, "left_out": left_out}


def importable(family: str) -> type[Family]:
    """The family of a name, whose published weights can be imported.

    Raises:
        ConfigError: there is none, or transformers reads its weights as they are.
    """
    known = [name for name in families if families.get(name).published]
    if family in families and family not in known:
        raise ConfigError(
            f"weights of {family} need no import: transformers reads them as they are published",
            wanted=f"--family {' or '.join(known)}",
            next_step=f"give them to the encoder: avs extract-features --model {family} --weights FOLDER_OR_HUB_NAME",
        )
    if family not in known:
        raise ConfigError(f'unknown family "{family}"{did_you_mean(family, known)}', wanted=", ".join(known))
    return families.get(family)


def _published(family: str, cls: type[Family], variant: str | None) -> tuple[str, Published]:
    variant = variant or next(iter(cls.published))
    if variant not in cls.published:
        raise ConfigError(
            f'{family} has no variant "{variant}"{did_you_mean(variant, cls.published)}',
            wanted=", ".join(cls.published),
        )
    return variant, cls.published[variant]


def _files(sources: Sequence[Path]) -> list[Path]:
    """The files of the sources: of a folder, its weights."""
    files: list[Path] = []
    for source in sources:
        require_path(source, what="file or folder of weights")
        found = weight_files(source) if source.is_dir() else [source]
        if not found:
            raise ConfigError("no weights in the folder", where=source, wanted="model.safetensors or its shards")
        files += found
    if len({path.name for path in files}) < len(files):
        raise ConfigError("two files of one name", got=some([path.name for path in files]), next_step="rename one")
    return files


def _converted(
    family: str, cls: type[Family], published: Published, files: Sequence[Path]
) -> tuple[dict[str, Any], list[str]]:
    """The tensors of the family's network, all of them and no others; and the published names that have none.

    Raises:
        FormatError: they are not those of the network, or two files hold different tensors of one name.
    """
    from avs.features.networks.weights import require_fit

    theirs: dict[str, Any] = {}
    for path in files:
        read = read_foreign_weights(path, to_tensors=TO_TENSORS.format(file=path.name))
        if all(name.startswith(WRAPPED) for name in read):
            read = {name.removeprefix(WRAPPED): tensor for name, tensor in read.items()}
        twice = [name for name in read if name in theirs and not _same(read[name], theirs[name])]
        if twice:
            raise FormatError(f"{len(twice)} tensors are in two of the files, and differ", where=path, got=some(twice))
        theirs |= read
    converted = cls.convert(theirs)
    variants = " or ".join(cls.published)
    require_fit(
        converted.weights,
        cls.network(published.config),
        where=", ".join(map(str, files)),
        next_step=f"check that the file is {published.source}; of another published size, give --variant {variants}"
        if len(cls.published) > 1
        else f"check that the file is {published.source}",
    )
    return dict(converted.weights), list(converted.left_out)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one == other).all())


def _write(out: Path, cls: type[Family], published: Published, weights: dict[str, Any], manifest: Manifest) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").unlink(missing_ok=True)
    (out / UNFINISHED).touch()
    write_weights(out / "model.safetensors", weights)
    write_preprocessing(out, published.preprocessing)
    with atomic_write(out / "config.json") as file:  # last: a folder without it is no checkpoint
        json.dump({"model_type": cls.model_type, **published.config}, file, indent=2)
        file.write("\n")
    complete_folder(out, manifest)
    (out / UNFINISHED).unlink()
