"""VisualSearch, the folders in which RUC's systems keep a collection.

<root>/<collection>/TextData/<collection>.caption.txt      captions, `<video>#<k> sentence` a line
<root>/<collection>/FeatureData/<feature>/                 a BigFile a feature, of videos
<root>/<collection>/FeatureData/frame/<feature>/           and of frames
<root>/<collection>/VideoSets/<list>.txt                   a video id a line; of images: ImageSets
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from avs.captions.read import read_video_list
from avs.core.artifacts import require_path
from avs.core.errors import UnknownIdError, did_you_mean


class VisualSearchCollection:
    """Where the parts of a collection lie.

    Args:
        root: the folder that holds the collections.
        name: of the collection.

    Raises:
        AvsError: there is no such collection; names the closest.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.folder = require_path(Path(root) / name, what="VisualSearch collection")
        self.name = name

    def captions(self) -> Path:
        """The file of its captions.

        Raises:
            AvsError: there is none.
        """
        return require_path(self.folder / "TextData" / f"{self.name}.caption.txt", what="caption file")

    def features(self) -> dict[str, Path]:
        """Name -> BigFile folder, in the order of the names; a name is the path below FeatureData, "frame/clip"."""
        base = self.folder / "FeatureData"
        folders = {file.parent.relative_to(base).as_posix(): file.parent for file in base.rglob("feature.bin")}
        return dict(sorted(folders.items()))

    def feature(self, name: str) -> Path:
        """The BigFile folder of a feature.

        Raises:
            UnknownIdError: the collection has no such feature; says the closest and all it has.
        """
        return _found(name, self.features(), kind="feature", where=self.folder / "FeatureData")

    def lists(self) -> dict[str, Path]:
        """Name -> file of video ids. Of a name in both folders it is VideoSets': ImageSets then lists its frames."""
        files = [*(self.folder / "ImageSets").glob("*.txt"), *(self.folder / "VideoSets").glob("*.txt")]
        return dict(sorted({file.stem: file for file in files}.items()))

    def videos(self, name: str | None = None) -> tuple[str, ...]:
        """The ids of a list, in its order; None: of the list named as the collection.

        Raises:
            UnknownIdError: the collection has no such list; says the closest and all it has.
            FormatError: the file is not a list of ids.
        """
        return read_video_list(_found(name or self.name, self.lists(), kind="list of videos", where=self.folder))


def _found(name: str, known: Mapping[str, Path], *, kind: str, where: Path) -> Path:
    if name not in known:
        raise UnknownIdError(
            f'no {kind} "{name}"{did_you_mean(name, known)}', where=where, got=", ".join(known) or "none at all"
        )
    return known[name]
