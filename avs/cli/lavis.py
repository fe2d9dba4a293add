"""Build the environment that runs salesforce-lavis for --backend lavis, and test it.

LAVIS needs an old transformers, so it runs in a virtual environment of its own, in processes that avs starts. It takes
about 1.7 GB (docs/lavis.md). Run the same command again to complete an environment, or to test it; with --force, to
build it anew.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Literal

import typer

from avs.cli.options import OUTPUT, RUNTIME, Debug, Force, Json, Quiet

EXAMPLES = """
avs lavis setup
avs lavis setup --venv ~/lavis
avs lavis setup --venv ~/lavis --python /usr/bin/python3.11
"""

Action = Annotated[Literal["setup"], typer.Argument(help="setup builds the environment.")]
Venv = Annotated[
    Path | None,
    typer.Option(
        "--venv",
        help="Folder of the environment; default: AVS_LAVIS_VENV, or avs/lavis in your cache. avs finds another folder "
        "by AVS_LAVIS_VENV alone.",
        rich_help_panel=OUTPUT,
    ),
]
Python = Annotated[
    str | None,
    typer.Option(
        "--python", help="Python 3.10 or 3.11 to build it of; default: that of avs, or one on the PATH.",
        rich_help_panel=RUNTIME,
    ),
]  # fmt: skip


def command(
    action: Action,
    venv: Venv = None,
    python: Python = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import typed
    from avs.core.progress import Reporter
    from avs.features.lavis.building import build_environment
    from avs.features.lavis.environment import VARIABLE, environment_folder

    reporter, known = Reporter(quiet=quiet), environment_folder()
    folder = known if venv is None else venv.expanduser().absolute()
    summary = build_environment(folder, reporter, python=python, force=force)
    if folder != known:
        reporter.suggest(f"export {VARIABLE}={typed(folder)}")
    if json:
        print(json_.dumps(summary, indent=2))
