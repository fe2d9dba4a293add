"""The password of the evaluation server: from an environment variable or typed, never an option and never in a file."""

from __future__ import annotations

import getpass
import os
import sys

from avs.core.errors import ConfigError
from avs.pipeline.serve_options import ServeOptions

VARIABLE = "AVS_DRES_PASSWORD"


def dres_password(options: ServeOptions) -> str | None:
    """The password of --dres-user; None: there is no evaluation server.

    The variable is taken out of the environment, so that programs which the server starts do not get it.

    Raises:
        ConfigError: it is in no variable, and nobody can type it.
    """
    if options.dres is None:
        return None
    password = os.environ.pop(VARIABLE, "")
    if not password and sys.stdin is not None and sys.stdin.isatty():
        password = getpass.getpass(f"Password of {options.dres_user} at {options.dres}: ")
    if not password:
        raise ConfigError(
            f"the password of {options.dres_user} is not known", where="--dres",
            next_step=f"type it when avs serve asks in a terminal, or set {VARIABLE} in its environment",
        )  # fmt: skip
    return password
