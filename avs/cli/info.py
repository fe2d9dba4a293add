"""Describe an artefact and how it was made; with --env, what is installed here.

For a trained model it prints its features, its validation, and the attention that it gives to each feature.
With --verify it hashes every file again and checks what they hold; it exits with 1 if something is wrong.
With --provenance it follows the inputs of an artefact down to the video files, and marks those that have changed.
With --footprint it counts what a trained model keeps of a shot and computes for a pair, and measures its speed.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import Debug, Json, Quiet

EXAMPLES = """
avs info features/mini-clip/shot
avs info models/laff
avs info lists/x.trec --json
avs info runs/F_M_C_D_TEAM.24_1.xml --provenance
avs info features/mini-clip/shot --verify
avs info models/xclip --footprint
avs info --env
"""

Artefact = Annotated[
    Path | None,
    typer.Argument(
        metavar="ARTEFACT", help="A feature store, a trained model, a ranked list, a run file: anything that avs wrote."
    ),
]
Provenance = Annotated[
    bool,
    typer.Option(
        "--provenance",
        help="Print all inputs it was made from, and whether they have changed; hashes the videos again.",
    ),
]
Verify = Annotated[
    bool,
    typer.Option("--verify", help="Hash all files again, and check what they hold; exit code 1 if something is wrong."),
]
Footprint = Annotated[
    bool,
    typer.Option(
        "--footprint",
        help="Of a trained model: bytes a shot, multiply-adds, and pairs/s measured here; takes seconds.",
    ),
]
Environment = Annotated[bool, typer.Option("--env", help="Print packages and devices instead.")]


def command(
    artefact: Artefact = None,
    provenance: Provenance = False,
    verify: Verify = False,
    footprint: Footprint = False,
    env: Environment = False,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError
    from avs.pipeline.description import describe_artefact, describe_environment, fact_lines

    if env == (artefact is not None):
        raise ConfigError("give an artefact or --env", next_step="avs info PATH, or avs info --env")
    for option, given in (("--provenance", provenance), ("--verify", verify), ("--footprint", footprint)):
        if artefact is None and given:
            raise ConfigError(f"{option} needs an artefact", next_step=f"avs info PATH {option}")
    if artefact is not None and verify:
        _print_verification(artefact, json=json)
    if artefact is not None and provenance:
        _print_provenance(artefact, json=json)
    if artefact is not None and footprint:
        _print_footprint(artefact, json=json)
    if provenance or verify or footprint:
        return
    facts = describe_environment() if artefact is None else describe_artefact(artefact)
    print(json_.dumps(facts, indent=2) if json else "\n".join(fact_lines(facts)))


def _print_provenance(artefact: Path, *, json: bool) -> None:
    from avs.pipeline.provenance import Trail

    trail = Trail([artefact])
    print(json_.dumps(trail.to_json(base=Path()), indent=2) if json else "\n".join(trail.lines()))
    if trail.broken and not json:
        inputs = f"{len(trail.broken)} inputs have" if len(trail.broken) > 1 else "1 input has"
        print(f"{inputs} changed since or been removed; the trail ends there")


def _print_verification(artefact: Path, *, json: bool) -> None:
    from avs.core.errors import TooManyFailuresError
    from avs.pipeline.verification import verify

    found = verify(artefact)
    if json:
        print(json_.dumps({"ok": not found.problems, "problems": found.problems, "notes": found.notes}, indent=2))
    else:
        for line in [*found.problems, *(f"note: {note}" for note in found.notes)]:
            print(line)
    if found.problems:
        count = f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''}"
        raise TooManyFailuresError(
            f"not as avs wrote it: {count}",
            where=artefact,
            next_step="put the files back from a copy, or make it again with --force (`command` in its manifest)",
        )
    if not json:
        print(f"OK {artefact}: {found.files} files hashed")


def _print_footprint(artefact: Path, *, json: bool) -> None:
    from avs.pipeline.footprint import checkpoint_footprint, footprint_lines, footprint_to_json

    report = checkpoint_footprint(artefact)
    print(json_.dumps(footprint_to_json(report), indent=2) if json else "\n".join(footprint_lines(report)))
