"""Builds the environment of LAVIS, and tests that it works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from avs.core.errors import AvsError, ConfigError, MissingDependencyError, typed
from avs.core.progress import Reporter
from avs.features.lavis.client import LavisClient
from avs.features.lavis.environment import CONSTRAINTS, interpreter_of, setup_command
from avs.features.lavis.published import BERT, VOCABULARY

PYTHONS = ((3, 10), (3, 11))  # for which the packages have wheels
PACKAGES = (
    *("torch", "torchvision", "numpy", "pillow", "transformers", "omegaconf", "pandas", "iopath", "decord"),
    *("webdataset", "opencv-python-headless", "einops", "spacy", "pycocoevalcap", "ftfy"),
)
ALONE = ("salesforce-lavis", "timm", "fairscale")  # without what they require: much of it serves no feature
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "runs")
SIZE, DIM = 32, 256
STDERR = 2  # stdout is for the JSON summary


def build_environment(
    folder: Path, reporter: Reporter, *, python: str | None = None, force: bool = False
) -> dict[str, object]:
    """Build the environment in `folder`, or complete it, and test it.

    Args:
        python: the Python to build it of; None: this one, or one beside it that LAVIS runs in.
        force: discard an environment that is there.

    Returns:
        `path`, `versions`, `seconds`, `self_test`.

    Raises:
        ConfigError: the folder holds something else.
        MissingDependencyError: no Python that LAVIS runs in; or pip could not install the packages.
        AvsError: the self-test failed.
    """
    start = time.monotonic()
    interpreter = interpreter_of(folder)
    if force or not interpreter.exists():
        if (folder.is_dir() and any(folder.iterdir()) or folder.is_file()) and not (folder / "pyvenv.cfg").is_file():
            raise ConfigError(
                "the folder holds something that is no virtual environment",
                where=folder,
                next_step=setup_command(Path("ANOTHER_FOLDER")),
            )
        base = python or find_python()
        reporter.say(f"{folder}: a virtual environment of {base}")
        _run([base, "-m", "venv", *(["--clear"] if force else []), str(folder)], folder)
    pip = [str(interpreter), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    pip += ["--quiet", "-c", str(CONSTRAINTS)]
    for words in (PACKAGES, ("--no-deps", *ALONE)):
        reporter.say(f"pip install {' '.join(words)}")
        _run([*pip, *words], folder)
    tested = self_test(folder)
    for line in (*tested["said"], f"{folder}: ready, {time.monotonic() - start:.0f} s"):  # type: ignore[misc]
        reporter.say(line)
    return {"path": str(folder), "seconds": round(time.monotonic() - start, 1), **tested}


def find_python() -> str:
    """A Python that the packages of LAVIS have wheels for.

    Raises:
        MissingDependencyError: there is none.
    """
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for major, minor in reversed(PYTHONS):
        if found := shutil.which(f"python{major}.{minor}"):
            return found
    names = " or ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    raise MissingDependencyError(
        "LAVIS needs an older Python than this one",
        got="Python {}.{}".format(*sys.version_info[:2]),
        wanted=f"Python {names}",
        next_step=f"install one, then avs lavis setup --python {typed('PATH_OF_PYTHON')}",
    )


def self_test(folder: Path) -> dict[str, object]:
    """Encode pictures and sentences with a BLIP of random weights; what came of it.

    Raises:
        AvsError: it does not work.
    """
    start = time.monotonic()
    with TemporaryDirectory(prefix="avs-lavis-") as made:
        place = Path(made, BERT)
        place.mkdir()
        (place / VOCABULARY).write_text("\n".join(WORDS) + "\n", encoding="utf-8")
        opening = {
            "type": "load", "family": "blip", "name": "blip_feature_extractor", "kind": "base", "changes": {},
            "vit": {}, "files": [], "folder": made, "torchscript": False, "image_size": SIZE, "device": "cpu",
        }  # fmt: skip
        with LavisClient(folder, opening).open() as client:
            images = np.random.default_rng(0).integers(0, 256, (2, 3, SIZE, SIZE), dtype=np.uint8)
            _, (of_images,) = client.ask({"type": "images"}, [images])
            _, (of_texts,) = client.ask({"type": "texts", "texts": ["a dog", "a dog runs a dog"]})
            facts, versions = client.facts, client.versions
    for name, vectors in (("images", of_images), ("texts", of_texts)):
        lengths = np.linalg.norm(vectors, axis=-1)
        if vectors.shape != (2, DIM) or not np.allclose(lengths, 1, atol=1e-4):
            raise AvsError(
                f"the self-test failed: vectors of {name} are not unit vectors of {DIM} numbers",
                where=folder,
                got=f"shape {vectors.shape}, lengths {lengths.tolist()}",
            )
    shim = " (operators of torchvision registered by avs: its binary does not fit torch)"
    took = f"self-test: 2 images and 2 texts through LAVIS's BLIP in {time.monotonic() - start:.0f} s"
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    said = [packages + shim * bool(facts["operators_registered"]), took]
    return {"versions": versions, "operators_registered": facts["operators_registered"], "said": said}


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a command whose output goes to stderr.

    Raises:
        MissingDependencyError: it failed.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, stdout=STDERR, env=kept)
    if done.returncode:
        raise MissingDependencyError(
            "the LAVIS environment could not be built",
            where=folder,
            got=f"exit code {done.returncode} of {' '.join(map(typed, command))}",
            next_step=f"see what it printed above; then {setup_command(folder)}, which goes on from there",
        )
