"""avs: text-to-video search for TRECVID's Ad-hoc Video Search task, from video files to scored runs.

    import avs
    topics = avs.read_topics("topics.txt")
    runs = avs.search(["features/clip/shot", "features/blip/shot"], topics)
    fused = avs.fuse(runs, "rrf")
    print(avs.evaluate(fused, avs.read_qrels("qrels"), ["xinfAP", "P@10"]))

Nothing is imported before it is used: `import avs` takes milliseconds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avs.api import (
        Searcher,
        compare,
        evaluate,
        fuse,
        open_store,
        read_qrels,
        read_run,
        read_topics,
        rerank,
        search,
        write_run,
    )

    __version__: str

__all__ = [
    "Searcher",
    "__version__",
    "compare",
    "evaluate",
    "fuse",
    "open_store",
    "read_qrels",
    "read_run",
    "read_topics",
    "rerank",
    "search",
    "write_run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # slow to import, and rarely needed

        try:
            return version("avs")
        except PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
            return "0+source"
    if name in __all__:
        from avs import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
