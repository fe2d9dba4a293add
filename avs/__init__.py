"""avs: text-to-video search for TRECVID's Ad-hoc Video Search task, from video files to scored runs."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("avs")
except PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
    __version__ = "0+source"

__all__ = ["__version__"]
