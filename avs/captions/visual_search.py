"""VisualSearch, the folders in which RUC's systems keep a collection.

<root>/<collection>/TextData/<collection>.caption.txt      captions, `<video>#<k> sentence` per line
<root>/<collection>/FeatureData/<feature>/                 one BigFile per feature of videos
<root>/<collection>/FeatureData/frame/<feature>/           one BigFile per feature of frames
<root>/<collection>/VideoSets/<list>.txt                   one video id per line; ImageSets for images
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from avs.captions.read import read_video_list
from avs.core.artifacts import require_path
from avs.core.errors import UnknownIdError, did_you_mean


class VisualSearchCollection:
    """The files of a collection.

    Args:
        root: folder that contains the collections.
        name: name of the collection.

    Raises:
        AvsError: there is no such collection; names the closest one.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.folder = require_path(Path(root) / name, what="VisualSearch collection")
        self.name = name

    def captions(self) -> Path:
        """The caption file.

        Raises:
            AvsError: there is none.
        """
        return require_path(self.folder / "TextData" / f"{self.name}.caption.txt", what="caption file")

    def features(self) -> dict[str, Path]:
        """Name -> BigFile folder, sorted by name. A name is the path below FeatureData, such as "frame/clip"."""
        base = self.folder / "FeatureData"
        folders = {file.parent.relative_to(base).as_posix(): file.parent for file in base.rglob("feature.bin")}
        return dict(sorted(folders.items()))

    def feature(self, name: str) -> Path:
        """The BigFile folder of a feature.

        Raises:
            UnknownIdError: the collection has no such feature; names the closest one and all it has.
        """
        return _entry(name, self.features(), kind="feature", where=self.folder / "FeatureData")

    def lists(self) -> dict[str, Path]:
        """Name -> file of video ids. If both folders have a name, VideoSets counts: ImageSets then lists its frames."""
        files = [*(self.folder / "ImageSets").glob("*.txt"), *(self.folder / "VideoSets").glob("*.txt")]
        return dict(sorted({file.stem: file for file in files}.items()))

    def videos(self, name: str | None = None) -> tuple[str, ...]:
        """The ids of a list in its order; None: the list with the name of the collection.

        Raises:
            UnknownIdError: the collection has no such list; names the closest one and all it has.
            FormatError: the file is not a list of ids.
        """
        return read_video_list(_entry(name or self.name, self.lists(), kind="list of videos", where=self.folder))


def _entry(name: str, known: Mapping[str, Path], *, kind: str, where: Path) -> Path:
    if name not in known:
        raise UnknownIdError(
            f'no {kind} "{name}"{did_you_mean(name, known)}', where=where, got=", ".join(known) or "none at all"
        )
    return known[name]
