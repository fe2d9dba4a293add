"""Files that are either whole or absent, and the manifests that say what made them.

A result is written beside its final name, synced, and renamed. A folder is complete when its manifest, written last, is
there; a single file when both it and its manifest are.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from avs.core.contents import changed_files, hash_file, hash_files, hash_once, require_unchanged
from avs.core.errors import AvsError, ChangedInputsError, ConfigError, FormatError
from avs.core.ids import some
from avs.core.progress import Reporter

SCHEMA_VERSION = 1
WHOLE_FILE_BYTES = 64 * 2**20  # larger videos are fingerprinted by size, head and tail: an archive has terabytes
EDGES = "sha256-edges:"
EDGE_BYTES = 2**20


_COMMAND: ContextVar[str] = ContextVar("command", default="")


@contextmanager
def recording(command: str) -> Iterator[None]:
    """Manifests that are made in here record this command line."""
    token = _COMMAND.set(command)
    try:
        yield
    finally:
        _COMMAND.reset(token)


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file handle whose content appears at `path` only when the block ends without an exception."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")  # a fixed name: what a kill left is overwritten, never piles up
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with _naming(path, beside), open(beside, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path, beside: Path) -> Iterator[None]:
    """Errors of writing `beside`, which becomes `path`, name `path`. The system names no file when a disk is full."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(beside)):
            raise
        short = f"{os.strerror(errno.ENOSPC)}? ({error})"  # of NumPy, whose error of a short write has no number
        raise OSError(error.errno or errno.ENOSPC, error.strerror or short, str(path)) from error


def require_path(path: Path, *, what: str = "file") -> Path:
    """`path`, when it exists.

    Raises:
        AvsError: it does not; names the closest existing sibling.
    """
    path = Path(path)
    if path.exists():
        return path
    lost = next(place for place in (path, *path.parents) if place.parent.is_dir() or place.parent == place)
    folder, rest = lost.parent, path.relative_to(lost)
    siblings = sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) if folder.is_dir() else []
    close = [folder / name / rest for name in get_close_matches(lost.name, siblings, n=3)]
    meant = next((place for place in close if place.exists()), None)
    got = f"{folder} holds {some(siblings, shown=5)}" if siblings else f"{folder} is empty"
    raise AvsError(
        f"no such {what}",
        where=path,
        got=None if meant else f"{got}, and no {lost.name}" if lost != path else got,
        next_step=f"did you mean {meant}?" if meant else None,
    )


def refuse_folder_above(folder: Path, *, what: str = "artefact", cls: type[AvsError] = FormatError) -> None:
    """Refuse a folder that is no artefact but holds some, with those that may be meant.

    Raises:
        cls: it does.
    """
    inside = {path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/manifest.json")}
    ending = ".manifest.json"
    inside |= {path.with_name(path.name.removesuffix(ending)) for path in folder.glob(f"*{ending}")}
    if inside:
        raise cls(
            f"a folder above {what}s, and none itself",
            where=folder,
            next_step=f"did you mean {some(sorted(inside), shown=3)}?",
        )


def is_folder(output: str) -> bool:
    """Whether -o means a folder: it ends in "/", or there is a folder of that name."""
    return output.endswith("/") or Path(output).is_dir()


def fingerprint_content(path: Path) -> str:
    """`sha256:...` of a file's bytes; one over 64 MiB is read once and then only if its size or time has changed."""
    return hash_once(path) if os.path.getsize(path) > WHOLE_FILE_BYTES else fingerprint_file(path)


def is_content(path: Path, fingerprint: str) -> bool:
    """Whether a file has the content of a fingerprint. An older avs fingerprinted every large file as a video."""
    now = fingerprint_file(path) if fingerprint.startswith(EDGES) else fingerprint_content(path)
    return now == fingerprint


def fingerprint_file(path: Path) -> str:
    """`sha256:...` of a video's bytes; over 64 MiB `sha256-edges:...` of its size, first and last MiB."""
    size = os.path.getsize(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= WHOLE_FILE_BYTES:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        digest.update(str(size).encode())
        digest.update(file.read(EDGE_BYTES))
        file.seek(-EDGE_BYTES, os.SEEK_END)
        digest.update(file.read())
    return f"{EDGES}{digest.hexdigest()}"


def fingerprint_input(path: Path) -> str:
    """The fingerprint of a command's input: of a file's bytes, or of the manifest of an artefact folder.

    Raises:
        AvsError: there is no such file or folder.
        FormatError: the files of the folder are not as they were written.
    """
    require_path(path)
    if not path.is_dir():
        return fingerprint_content(path)
    require_unchanged(path, read_manifest(path), next_step="make the folder again with --force")
    return fingerprint_file(path / "manifest.json")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What made an artefact.

    Attributes:
        type: kind of artefact, such as "feature-store" or "ranked-lists".
        config: the resolved settings that decide the content.
        inputs: name -> fingerprint of what it was made from.
        spec: the encoder that made the vectors, where there is one.
        counts: such as {"ok": 980, "partial": 3, "failed": 17}.
        seconds: wall time of the command.
        command: what was typed, as the caller of `recording` says; empty where nobody says.
        created, versions, schema_version: filled in.
        paths: name of an input -> its location then. It helps to trace what an artefact came from and decides nothing.
        output: fingerprint of the file it describes; empty of a folder.
        files: name -> hash of the files of a folder, see avs.core.contents; empty of a file.
    """

    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    command: str = field(default_factory=lambda: _COMMAND.get())
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())
    schema_version: int = SCHEMA_VERSION
    paths: Mapping[str, Path] = field(default_factory=dict)
    output: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """sha256 of what decides the content: type, config, inputs and spec (but not where its weights lie)."""
        spec = self.spec and {key: value for key, value in self.spec.items() if key != "weights"}
        decisive = [self.type, self.config, self.inputs, spec]
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=str).encode()).hexdigest()


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers, those that are installed."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and readers do not need it

    versions = {"python": platform.python_version()}
    for package in ("avs", "numpy", "torch", "transformers", "av"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def manifest_path(artefact: Path) -> Path:
    """The path of an artefact's manifest: inside a folder, beside a file."""
    if artefact.is_dir():
        return artefact / "manifest.json"
    return artefact.with_name(artefact.name + ".manifest.json")


def write_manifest(artefact: Path, manifest: Manifest) -> None:
    """Write a manifest, of a folder last. For a file use write_artefact, for a folder of files complete_folder."""
    target = manifest_path(artefact)
    paths = {name: str(Path(path).resolve()) for name, path in manifest.paths.items()}
    places = {"paths": paths, "folder": str(target.parent.resolve())}
    with atomic_write(target) as file:
        json.dump({**asdict(manifest), **places, "fingerprint": manifest.fingerprint}, file, indent=2, default=str)
        file.write("\n")


def complete_folder(
    folder: Path,
    manifest: Manifest,
    hashes: Mapping[str, str] | None = None,
    *,
    folders: Sequence[str] = (),
    unhashed: Collection[str] = (),
) -> None:
    """Write the manifest of a folder, with the hash of every file in it. This completes the folder: call it last.

    Args:
        hashes: name of a file -> its hash, of files that were hashed while they were written.
        folders: names of folders in it whose files belong to it.
        unhashed: names of files that decide nothing, of which no hash is recorded.
    """
    files = hash_files(folder, hashes, folders=folders, unhashed=unhashed)
    write_manifest(folder, replace(manifest, files=files))


def write_artefact(path: Path, manifest: Manifest, write: Callable[[Path], None]) -> None:
    """Have `write` make the file at `path`, with its manifest beside it, which knows the file's fingerprint.

    The manifest is written first and the file completes it. So after a kill at any moment no file is without its
    manifest, and none is beside the manifest of another file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    complete = path.with_name(f".{path.name}.made")
    try:
        with _naming(path, complete):
            write(complete)
        write_manifest(path, replace(manifest, output=hash_file(complete)))
        os.replace(complete, path)
    finally:
        complete.unlink(missing_ok=True)


def read_manifest(artefact: Path) -> dict[str, Any]:
    """The manifest of an artefact as written.

    Raises:
        FormatError: there is none (the artefact is not complete, or not ours), or it is not one.
    """
    path = manifest_path(artefact)
    if not path.is_file():
        refuse_folder_above(artefact)
        raise FormatError(
            "no manifest: not made by avs, or its making was interrupted",
            where=artefact,
            wanted=path,
            next_step="run the command that makes it again; it resumes",
        )
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        newer = data.get("schema_version", 0) > SCHEMA_VERSION
        data["type"], data["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            "not a manifest of avs",
            where=path,
            got=f"{type(error).__name__}: {error}",
            next_step="put the file back, or make the artefact again with --force",
        ) from error
    if newer:
        raise FormatError(
            "made by a newer avs",
            where=path,
            got=f"schema {data['schema_version']}",
            wanted=f"schema {SCHEMA_VERSION} or older",
            next_step="upgrade avs",
        )
    return data


def input_paths(artefact: Path) -> dict[str, Path]:
    """Name of an input -> its current path: relative to the artefact as then, or else the path at which it was used.

    So files that were moved or copied together keep their trail. Inputs whose path was not recorded are absent.
    """
    manifest, folder = read_manifest(artefact), manifest_path(artefact).parent.resolve()
    paths, former_folder = {}, manifest.get("folder", str(folder))
    for name, former in manifest.get("paths", {}).items():
        moved = Path(os.path.normpath(folder / os.path.relpath(former, former_folder)))
        paths[name] = moved if moved.exists() else Path(former)
    return paths


def as_made_before(artefact: Path, manifest: Manifest, formerly: Mapping[str, str]) -> Manifest:
    """`manifest` with the fingerprints of the artefact's own manifest, where an older avs would have recorded those.

    So an artefact that an older avs made of the same inputs is up to date.

    Args:
        formerly: name of an input -> what an older avs would have recorded of it.
    """
    if not manifest_path(artefact).is_file():
        return manifest
    recorded = read_manifest(artefact).get("inputs", {})
    same = {name: value for name, value in formerly.items() if recorded.get(name) == value}
    return replace(manifest, inputs={**manifest.inputs, **same})


def _as_videos(recorded: Mapping[str, object], manifest: Manifest) -> dict[str, str]:
    """Name -> fingerprint of the large files that an older avs fingerprinted as it did videos."""
    old = [name for name, value in recorded.items() if str(value).startswith(EDGES) and name in manifest.paths]
    return {name: fingerprint_file(manifest.paths[name]) for name in old if Path(manifest.paths[name]).is_file()}


def require_writable(output: Path) -> None:
    """Check that an output can be written, before the work that makes it. Folders above it need not exist.

    Raises:
        ConfigError: a file is where a folder of its path should be, or nothing can be written there.
    """
    in_the_way = next((folder for folder in output.parents if folder.exists() and not folder.is_dir()), None)
    if in_the_way is not None:
        raise ConfigError("the output would be inside a file", where=output, got=f"{in_the_way} is a file")
    folder = next(place for place in (output, *output.absolute().parents) if place.is_dir())
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            "the output cannot be written",
            where=output,
            got=f"{folder}: {error.strerror}",
            next_step="choose another output, or make this folder writable",
        ) from error


def is_up_to_date(artefact: Path, manifest: Manifest, *, force: bool, reporter: Reporter | None = None) -> bool:
    """Whether `artefact` is already what `manifest` describes; if it is, the reporter says so.

    Returns:
        True: the same command finished before. False: there is no artefact, or `force` lets it be replaced.

    Raises:
        ChangedInputsError: it was made from other inputs or settings, or not by avs, and `force` is off.
        ConfigError: what require_writable refuses.
    """
    resumes = artefact.is_dir() and not manifest_path(artefact).is_file()  # an interrupted folder
    if force or resumes or not artefact.exists():
        require_writable(artefact)
        return False
    if not manifest_path(artefact).is_file():
        raise ChangedInputsError(
            "a file without a manifest is in the way",
            where=artefact,
            next_step="choose another -o, or replace it with --force",
        )
    before = read_manifest(artefact)
    manifest = as_made_before(artefact, manifest, _as_videos(before.get("inputs") or {}, manifest))
    if before["fingerprint"] == manifest.fingerprint:
        changed = changed_files(artefact, before) if artefact.is_dir() else {}
        if changed or (before.get("output") and not is_content(artefact, before["output"])):
            raise ChangedInputsError(
                f"{artefact.name} was modified after avs wrote it",
                where=artefact,
                got="; ".join(f"{name} {what}" for name, what in changed.items()) or None,
                next_step="make it again with --force; or keep it under another name",
            )
        if reporter is not None:
            reporter.say(f"up to date: {artefact}")
        return True
    differing = [
        f"{part}.{key}"
        for part, now in (("config", manifest.config), ("inputs", manifest.inputs), ("spec", manifest.spec or {}))
        for key in sorted({*now, *(before.get(part) or {})})
        if _plain(now.get(key)) != (before.get(part) or {}).get(key)
    ]
    raise ChangedInputsError(
        "made before from other inputs or settings",
        where=artefact,
        got=f"changed: {', '.join(differing) or 'type'}",
        next_step="choose another -o, or replace it with --force",
    )


UNFINISHED = ".unfinished"


@contextmanager
def making(folder: Path) -> Iterator[None]:
    """Mark a folder as an artefact that is being made in here; after a kill it can be made again in that place."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / UNFINISHED).touch()
    yield
    (folder / UNFINISHED).unlink()


def require_place(folder: Path, kind: str, *, sign: str) -> None:
    """Check that the place where an artefact is to be written is free, or holds one of its kind.

    Args:
        kind: the artefact's type.
        sign: a file that tells an unfinished artefact of this kind.

    Raises:
        ConfigError: something else is there; not even --force replaces it.
    """
    if not folder.exists() or (folder.is_dir() and (not any(folder.iterdir()) or (folder / sign).is_file())):
        return
    present = read_manifest(folder)["type"] if manifest_path(folder).is_file() else "files of something else"
    if present != kind:
        raise ConfigError(f"something else is where the {kind} should go", where=folder, got=present)


def _plain(value: object) -> object:
    """`value` as it comes back from a JSON file."""
    return json.loads(json.dumps(value, default=str))
