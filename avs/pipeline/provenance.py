"""Provenance: what an artefact was made from, and what its inputs were made from, down to the videos.

A manifest has the fingerprint and the path of every input. The trail follows an input if the file at its path still has
that fingerprint. If the file has changed or is gone, the trail reports it and ends there, because the manifest of the
file that was used no longer exists.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from avs.core.artifacts import (
    fingerprint_content,
    fingerprint_file,
    input_paths,
    manifest_path,
    read_manifest,
    require_path,
)
from avs.core.bigfile import FILES as BIGFILE
from avs.core.bigfile import BigFile
from avs.core.contents import changed_files, content_fingerprint
from avs.core.errors import AvsError
from avs.core.shots import ids_fingerprint
from avs.core.text_files import read_text
from avs.video.fingerprints import (
    VideoFile,
    contents_fingerprint,
    fingerprint_videos,
    listing_fingerprint,
    read_videos,
    videos_table,
)
from avs.video.master_shots import find_master_shots

State = Literal["unchanged", "changed", "gone", "no path recorded", "not checked"]
MARKS: Mapping[State, str] = {
    "unchanged": "✓", "changed": "✗ changed since", "gone": "✗ gone", "no path recorded": "? no path recorded",
    "not checked": "· not checked",
}  # fmt: skip
SHOWN_VIDEOS = 5


@dataclass(frozen=True, slots=True)
class Source:
    """An input of an artefact.

    Attributes:
        name: of the input in the manifest.
        recorded: its fingerprint when the artefact was made.
        path: its place now; None if no path was recorded.
        state: whether it still has that fingerprint.
        videos: if the input is a folder of videos, every file as recorded, and its state.
    """

    name: str
    recorded: str
    path: Path | None
    state: State
    videos: tuple[tuple[VideoFile, State], ...] = ()


@dataclass(frozen=True, slots=True)
class TracedArtefact:
    """An artefact on the trail: its manifest and its sources."""

    manifest: Mapping[str, Any]
    sources: tuple[Source, ...]


@dataclass(slots=True)
class Trail:
    """All artefacts that `roots` were made from.

    Attributes:
        roots: the artefacts at which the trail begins.
        artefacts: path -> artefact on the trail, each once.
        check_videos: whether video files are hashed again and compared, which takes long for a large archive.
    """

    roots: Sequence[Path]
    check_videos: bool = True
    artefacts: dict[Path, TracedArtefact] = field(default_factory=dict)
    _current: dict[Path, frozenset[str]] = field(default_factory=dict)  # path -> its fingerprints now
    _videos: dict[Path, str] = field(default_factory=dict)  # path of a video -> its fingerprint now

    def __post_init__(self) -> None:
        self.roots = [require_path(root, what="artefact").resolve() for root in self.roots]
        pending = list(self.roots)
        while pending:
            path = pending.pop(0)
            if path not in self.artefacts:
                artefact = self.artefacts[path] = self._trace(path)
                pending += [s.path for s in artefact.sources if s.path is not None and self._leads_on(s)]

    @property
    def broken(self) -> list[str]:
        """A line for every input that has changed or is gone."""
        return [
            f"{shown(path)}: {source.name} {shown(source.path)} {MARKS[source.state]}"
            for path, artefact in self.artefacts.items()
            for source in artefact.sources
            if source.state in ("changed", "gone") and source.path is not None
        ]

    def to_json(self, *, base: Path) -> dict[str, Any]:
        """The whole trail as JSON data, each artefact and each folder of videos once.

        Args:
            base: folder that paths are relative to.
        """

        def relative(path: Path) -> str:
            return os.path.relpath(path, base.resolve())

        def source(one: Source) -> dict[str, Any]:
            facts: dict[str, Any] = {"fingerprint": one.recorded, "state": one.state}
            return facts | ({"path": relative(one.path)} if one.path else {})

        kept = ("type", "config", "spec", "counts", "seconds", "command", "created", "versions", "fingerprint")
        return {
            "roots": {
                relative(root): fingerprint_content(root)
                if root.is_file()
                else self.artefacts[root].manifest["fingerprint"]
                for root in self.roots
            },
            "artefacts": {
                relative(path): {key: artefact.manifest[key] for key in kept if artefact.manifest.get(key)}
                | {"inputs": {one.name: source(one) for one in artefact.sources}}
                for path, artefact in self.artefacts.items()
            },
            "videos": {
                one.recorded: [
                    {"video": v.video, "file": v.file, "bytes": v.bytes, "fingerprint": v.fingerprint, "state": state}
                    for v, state in one.videos
                ]
                for artefact in self.artefacts.values()
                for one in artefact.sources
                if one.videos
            },
        }

    def lines(self) -> Iterator[str]:
        """The trail as a tree; what two artefacts share is written out once."""
        printed: set[object] = set()
        for root in self.roots:
            yield f"{shown(root)}  {self._facts(root)}"
            yield from self._below(root, "  ", printed)

    def _below(self, path: Path, indent: str, printed: set[object]) -> Iterator[str]:
        printed.add(path)
        for source in self.artefacts[path].sources:
            place = shown(source.path) if source.path else source.recorded
            line = f"{indent}{source.name}: {place}  {MARKS[source.state]}"
            if source.videos and (source.path, source.recorded) in printed:
                yield f"{line}  (see above)"
            elif source.path not in self.artefacts or not self._leads_on(source):
                yield line
                yield from _video_lines(source, indent + "  ")
                printed.add((source.path, source.recorded))
            elif source.path in printed:
                yield f"{line}  (see above)"
            else:
                yield f"{line}  {self._facts(source.path)}"
                yield from self._below(source.path, indent + "  ", printed)

    def _facts(self, path: Path) -> str:
        manifest = self.artefacts[path].manifest
        encoder = f", {manifest['spec']['name']} {manifest['spec']['revision'][:12]}" if manifest.get("spec") else ""
        return f"[{manifest['type']}{encoder}, {manifest.get('created', 'when is not known')}]"

    def _leads_on(self, source: Source) -> bool:
        unchanged = source.path is not None and source.state == "unchanged"
        return unchanged and source.name != "videos" and manifest_path(source.path).is_file()  # type: ignore[arg-type]

    def _trace(self, path: Path) -> TracedArtefact:
        manifest, paths = read_manifest(path), input_paths(path)
        sources = []
        for name, recorded in manifest.get("inputs", {}).items():
            place = paths[name].resolve() if name in paths else None
            if name == "videos":
                sources.append(self._videos_of(path, recorded, place))
                continue
            state: State = "no path recorded" if place is None else "gone" if not place.exists() else "unchanged"
            if place is not None and state == "unchanged" and recorded not in self._fingerprints(place):
                state = "changed"
            sources.append(Source(name, recorded, place, state))
        return TracedArtefact(manifest, tuple(sources))

    def _fingerprints(self, path: Path) -> frozenset[str]:
        if path not in self._current:
            self._current[path] = frozenset(_fingerprints(path))
        return self._current[path]

    def _videos_of(self, artefact: Path, recorded: str, folder: Path | None) -> Source:
        table = videos_table(artefact)
        files = read_videos(table) if table.is_file() else []
        if listing_fingerprint(files) != recorded:  # made before videos were hashed, or the table is of other videos
            return Source("videos", recorded, folder, "not checked" if folder else "no path recorded")
        if folder is None or not self.check_videos:
            return Source("videos", recorded, folder, "not checked", tuple((file, "not checked") for file in files))
        self._hash({file.video: folder / file.file for file in files}, folder)
        states = [self._state_of(file, folder) for file in files]
        whole: State = "gone" if not folder.exists() else "unchanged" if set(states) == {"unchanged"} else "changed"
        return Source("videos", recorded, folder, whole, tuple(zip(files, states, strict=True)))

    def _hash(self, paths: Mapping[str, Path], folder: Path) -> None:
        missing = {video: path for video, path in paths.items() if path not in self._videos and path.is_file()}
        for file in fingerprint_videos(missing, folder):
            self._videos[missing[file.video]] = file.fingerprint

    def _state_of(self, file: VideoFile, folder: Path) -> State:
        now = self._videos.get(folder / file.file)
        return "gone" if now is None else "unchanged" if now == file.fingerprint else "changed"


def shown(path: Path) -> str:
    """A path as it is printed: relative to the working directory if it is below it, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _fingerprints(path: Path) -> Iterator[str]:
    """Every fingerprint by which a manifest may have recorded the input at a path."""
    if manifest_path(path).is_file():
        manifest = read_manifest(path)
        if path.is_dir() and changed_files(path, manifest):
            return  # the manifest is not of these files
        yield content_fingerprint(manifest)
    if path.is_file():
        yield fingerprint_file(path)
        yield fingerprint_content(path)
    elif (path / "manifest.json").is_file():
        yield fingerprint_file(path / "manifest.json")
        if (path / "ids.txt").is_file():  # a list records the shot ids of its store
            yield ids_fingerprint(read_text(path / "ids.txt").split())
    if all((path / name).is_file() for name in BIGFILE):
        with suppress(AvsError):  # word vectors: their words are no ids
            yield str(BigFile(path).manifest["fingerprint"])
    if path.is_dir() and not manifest_path(path).is_file():
        try:
            yield contents_fingerprint(find_master_shots(path))
        except AvsError:  # not a folder of master shots
            return


def _video_lines(source: Source, indent: str) -> Iterator[str]:
    if not source.videos or source.state == "gone":
        return
    bytes_ = sum(file.bytes for file, _ in source.videos)
    yield f"{indent}{len(source.videos)} videos, {bytes_ / 1e6:.1f} MB, {source.recorded}"
    odd = [(file, state) for file, state in source.videos if state in ("changed", "gone")]
    for file, state in odd[:SHOWN_VIDEOS]:
        yield f"{indent}{file.file}  {MARKS[state]}"
    if len(odd) > SHOWN_VIDEOS:
        yield f"{indent}... and {len(odd) - SHOWN_VIDEOS} more (--json lists all)"
