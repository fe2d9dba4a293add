"""`avs fuse`: learn a fuser where there are judgments; otherwise fuse with what is known."""

from __future__ import annotations

from typing import Any

from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.pipeline.fuse.apply import apply_fusion
from avs.pipeline.fuse.learn import learn_fusion
from avs.pipeline.fuse.options import FusionOptions


def run_fusion(options: FusionOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Learn and fuse, or only fuse; returns a summary.

    Raises:
        ConfigError: there are options for learning, but no judgments to learn from.
        AvsError: see learn_fusion and apply_fusion.
    """
    if options.qrels:
        return learn_fusion(options, reporter=reporter)
    learning = {
        "--fit-on": options.fit_on, "--edition-file": options.edition_files, "--past": options.past,
        "--report": options.report, "--study": options.study,
    }  # fmt: skip
    unused = [option for option, value in learning.items() if value]
    if unused:
        raise ConfigError(f"{', '.join(unused)}: only for learning", next_step="give judgments to learn from: --qrels")
    return apply_fusion(options, reporter=reporter)
