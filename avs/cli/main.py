"""`avs`: the verbs in flow order. A verb's module is imported only when it is typed."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from avs.core.artifacts import manifest_path, read_manifest, recording
from avs.core.errors import AvsError, did_you_mean

if TYPE_CHECKING:
    import typer

FLOW = "video -> shots -> frames -> features -> models -> ranked lists -> fusion -> TRECVID run -> xinfAP"

TRAIN = "train-"  # and the name of an architecture
VERBS = {
    "shots": "Make the shot table of a collection: import master shots, or detect them.",
    "import-narrations": "Make clips with captions of narrated videos in HowTo100M's layout.",
    "import-weights": "Make a checkpoint of an encoder from the weights that its authors published.",
    "lavis": "Build the environment in which salesforce-lavis runs, for --backend lavis.",
    "caption-shots": "Write pseudo captions of shots, as V3C1-PC has them, resumably.",
    "extract-features": "Turn the frames of every shot into vectors, resumably.",
    "import-features": "Make a feature store of features that others computed.",
    "export-features": "Write a feature store as the BigFile that RUC's code reads.",
    "import-checkpoint": "Make a checkpoint of the weights that the authors of a model published.",
    "search": "Rank the shots of a collection for every topic, zero-shot or with trained models.",
    "fuse": "Fuse ranked lists: classic combinations, learned weights, learning to rank.",
    "rerank": "Rerank the best shots of a list: by frames, neighbours, other topics, a trained model.",
    "make-run": "Write ranked lists as the XML run file NIST takes.",
    "check-run": "Check a run file as NIST will, and more strictly.",
    "make-submission": "Make a whole submission from one YAML: search, fuse, rerank, make-run and check-run.",
    "eval": "Score runs: xinfAP exactly as NIST's sample_eval, and measures for full judgments.",
    "eval-retrieval": "Score text-to-video retrieval on captioned videos: R@k, MdR, MnR, mAP.",
    "compare": "Test runs against each other by randomization over topics; score novelty.",
    "serve": "Search in the browser: study topics, judge, compare, export; one page and one HTTP API.",
    "info": "Say what an artefact is and what made it, or what this environment can do.",
    "demo": "Run every step on a small collection that is rendered on the spot, or on your own videos.",
}

INTERRUPTED, TERMINATED = 130, 143


def verbs() -> dict[str, str]:
    """Verb -> its line of help, in flow order; there is a train verb for every registered architecture."""
    from avs.models.architectures import architectures

    train_verbs = {f"{TRAIN}{name}": architectures.get(name).summary for name in architectures}
    order: dict[str, str] = {}
    for verb, line in VERBS.items():
        order |= {**train_verbs, verb: line} if verb == "import-checkpoint" else {verb: line}
    return order


def help_text() -> str:
    """What `avs --help` prints."""
    return "\n".join(
        [
            "avs: search video collections by text, and enter TRECVID's Ad-hoc Video Search task.",
            "",
            f"  {FLOW}",
            "",
            "Usage: avs VERB [OPTIONS]      avs VERB --help      avs --version",
            "",
            *(f"  {verb:<20} {line}" for verb, line in verbs().items()),
            "",
            "Start with: avs demo",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Returns:
        The exit code: 0 done, 1 finished with failures above the limit, 2 user error, 3 environment, 130 interrupted,
        143 terminated.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("--help", "-h", "help"):
        print(help_text())
        return 0
    if args[0] == "--version":
        from avs import __version__

        print(__version__)
        return 0
    verb = args[0]
    if verb not in VERBS and verb not in verbs():
        print(f'avs: unknown verb "{verb}"{did_you_mean(verb, verbs())}\n\n{help_text()}', file=sys.stderr)
        return 2
    return _run(verb, args[1:])


def _run(verb: str, args: list[str]) -> int:
    _configure_logging()
    try:
        with ending_in_order_when_terminated():
            code = invoke(verb, args)
        if code in (INTERRUPTED, TERMINATED):
            print(f"avs {verb}: interrupted; run the same command again to resume", file=sys.stderr)
        return code
    except BrokenPipeError:  # the reader of our stdout went away, as in `avs eval ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (AvsError, OSError) as error:
        return _report(verb, error, debug="--debug" in args)


@contextmanager
def ending_in_order_when_terminated() -> Iterator[None]:
    """SIGTERM ends what runs in here as Ctrl-C does: what is done is kept, and no process is left."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(TERMINATED)

    if threading.current_thread() is not threading.main_thread():  # Python takes signals in its main thread alone
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def invoke(verb: str, args: Sequence[str]) -> int:
    """Run one verb. Manifests of what it makes record this command line.

    Returns:
        The exit code.

    Raises:
        AvsError: what the verb raises, for the caller to report.
    """
    from avs.cli.options import refuse_former_options

    refuse_former_options(verb, args)
    with recording(shlex.join(["avs", verb, *args])):
        try:
            app_for(module_of(verb))(list(args), prog_name=f"avs {verb}")
        except SystemExit as done:  # typer's way to end, also when interrupted
            return done.code if isinstance(done.code, int) else int(done.code is not None)
        except KeyboardInterrupt:  # before typer listens
            return INTERRUPTED
    return 0


def module_of(verb: str) -> ModuleType:
    """The module with a verb's `command`."""
    if verb.startswith(TRAIN):
        from avs.cli import train

        return train.module_of(verb.removeprefix(TRAIN))
    return import_module(f"avs.cli.{verb.replace('-', '_')}")


def _report(verb: str, error: AvsError | OSError, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    if isinstance(error, AvsError):
        print(f"avs {verb}: {error}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
        what = error.strerror
        if isinstance(error, IsADirectoryError):
            what = f"{what}\n  where:  {error.filename}\n  wanted: a file{_inside(Path(str(error.filename)))}"
        else:
            what = f"{what}\n  where:  {error.filename}"
        print(f"avs {verb}: {what}", file=sys.stderr)
        return 2
    print(f"avs {verb}: the system refused: {error}", file=sys.stderr)
    return 3


def _inside(folder: Path) -> str:
    """A line on what a folder is, or what it holds, that was given where a file is needed."""
    if manifest_path(folder).is_file():
        return f"\n  got:    a {read_manifest(folder)['type']}: were two inputs swapped?"
    kinds = Counter(path.suffix for path in folder.glob("[!.]*") if path.suffix in (".trec", ".xml", ".txt"))
    if not kinds:
        return ""
    return f"\n  next:   name a file in it; for all: {shlex.quote(str(folder))}/*{kinds.most_common(1)[0][0]}"


def app_for(module: ModuleType) -> typer.Typer:
    """The command-line application of one verb's module: its `command`, docstring and EXAMPLES."""
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    paragraphs = (module.__doc__ or "").strip().split("\n\n")
    help_text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)  # the terminal wraps them
    examples = "\n\n".join(["Examples:", *module.EXAMPLES.strip().splitlines()])
    app.command(help=help_text, epilog=examples)(module.command)
    return app


def _configure_logging() -> None:
    """Warnings of the library reach the user as one line on stderr."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, stream=sys.stderr)
