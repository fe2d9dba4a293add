"""avs: text-to-video search for TRECVID's Ad-hoc Video Search task, from video files to scored runs."""

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and rarely asked for

    try:
        return version("avs")
    except PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
        return "0+source"
