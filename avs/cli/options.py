"""The options every verb has."""

from __future__ import annotations

from typing import Annotated

import typer

RUNTIME = "Runtime"

Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.", rich_help_panel=RUNTIME)]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON summary on stdout.", rich_help_panel=RUNTIME)]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an output made from other inputs.", rich_help_panel=RUNTIME)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=RUNTIME)]
