"""Where a checkpoint is, and its fingerprint: weights on the Hub, in a folder, or shipped with avs.

A checkpoint is a folder as `save_pretrained` writes it: config.json, model.safetensors (or its shards), the tokenizer's
files and the processor's config. Hub repositories are downloaded to such a folder first, so there is one way to read.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from avs.core.artifacts import require_path
from avs.core.errors import AvsError, MissingDependencyError

PACKAGE = "package:"
PACKAGE_ROOT = Path(__file__).resolve().parents[1]
HUB_NAME = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
SMALL_FILES = ["*.json", "*.jinja", "*.txt", "*.model"]
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")  # one is enough
# One file or shards; .bin only where there is no safetensors, and then by torch's loader that runs no code.
WEIGHT_FILES = (("model.safetensors",), ("model-*.safetensors",), ("pytorch_model.bin",), ("pytorch_model-*.bin",))


def locate(weights: str, *, revision: str = "main") -> Path:
    """The folder of a checkpoint: `package:demo/encoders/clip`, a local folder, or `org/name[@revision]` on the Hub.

    Raises:
        AvsError: there is no such folder or repository, or it has no checkpoint.
        MissingDependencyError: the weights are on the Hub only, and it cannot be reached.
    """
    if weights.startswith(PACKAGE):
        folder = require_path(PACKAGE_ROOT / weights.removeprefix(PACKAGE), what="encoder in this copy of avs")
    elif (match := HUB_NAME.fullmatch(weights)) and not Path(weights).exists():
        folder = _from_hub(match["repository"], match["revision"] or revision)
    else:
        folder = require_path(Path(weights).expanduser(), what="checkpoint folder")
    _require_checkpoint(folder)
    return folder


def _require_checkpoint(folder: Path) -> None:
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    if not weight_files(folder):
        missing.append("model.safetensors")
    if missing:
        raise AvsError(
            "not a checkpoint folder",
            where=folder,
            got=f"no {' and no '.join(missing)}",
            wanted="config.json, model.safetensors, tokenizer and processor files, as save_pretrained writes them",
        )


def require_tokenizer(folder: Path) -> None:
    """Check that a checkpoint has its tokenizer; transformers makes one without words where there is none.

    Raises:
        AvsError: it has not.
    """
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise AvsError(
            "the checkpoint has no tokenizer",
            where=folder,
            wanted=" or ".join(TOKENIZER_FILES),
            next_step="copy the tokenizer's files of the original checkpoint into the folder",
        )


def weight_files(folder: Path) -> list[Path]:
    """The files of a checkpoint's weights: safetensors before .bin, one whole file before shards."""
    for patterns in WEIGHT_FILES:
        files = sorted(path for pattern in patterns for path in folder.glob(pattern))
        if files:
            return files
    return []


def fingerprint_weights(folder: Path) -> str:
    """sha256 of the weight file (the number the Hub shows for it); for shards, sha256 of their sha256s.

    The whole file is read, unlike for other fingerprints, since fine-tuning may leave its head and tail as they were.
    """
    digests = []
    for path in weight_files(folder):
        with open(path, "rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a checkpoint.

    Raises:
        AvsError: the file is not a JSON object.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AvsError("not valid JSON", where=path, got=str(error)) from error
    if not isinstance(data, dict):
        raise AvsError("not a JSON object", where=path, got=type(data).__name__)
    return data


def _from_hub(repository: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    def fetch(patterns: list[str]) -> Path:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))

    try:
        folder = fetch([*SMALL_FILES, "model.safetensors", "model-*.safetensors"])
        if not weight_files(folder):
            folder = fetch([*SMALL_FILES, "pytorch_model.bin", "pytorch_model-*.bin"])
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise AvsError(
            "the Hub has no such repository or revision, or you have no access to it",
            where=f"{repository}@{revision}",
            next_step=f"check the name; for a folder, pass a path that exists (there is no folder {repository} here)",
        ) from error
    except OSError as error:  # every way the network can be absent: refused, no name, timed out, set offline
        raise MissingDependencyError(
            "the weights are not on this machine, and the Hub could not be reached",
            where=f"{repository}@{revision}",
            got=_reason(error),
            next_step=f"on a machine with a network: hf download {repository} --revision {revision} "
            "--local-dir FOLDER; copy FOLDER here and pass --weights FOLDER",
        ) from error
    return folder


def _reason(error: OSError) -> str:
    """The first line of the root cause of `error`: the Hub's client wraps it in advice that does not apply here."""
    root: BaseException = error
    while (cause := root.__cause__ or root.__context__) is not None:
        root = cause
    return f"{type(root).__name__}: {str(root).splitlines()[0] if str(root) else 'no further message'}"
