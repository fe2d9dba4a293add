"""`avs rerank`: fit a reranker where there are judgments; otherwise rerank."""

from __future__ import annotations

from typing import Any

from avs.core.errors import ConfigError
from avs.core.progress import Reporter
from avs.pipeline.rerank.apply import rerank_list
from avs.pipeline.rerank.fitted import with_fitted
from avs.pipeline.rerank.learn import fit_reranker
from avs.pipeline.rerank.options import RerankOptions
from avs.pipeline.search.trained import selection_warning
from avs.reranking.methods import RERANKERS


def run_reranking(options: RerankOptions, *, reporter: Reporter) -> dict[str, Any]:
    """Fit, or rerank; returns a summary.

    Raises:
        ConfigError: options do not fit together.
        AvsError: see fit_reranker, with_fitted and rerank_list.
    """
    if options.output and options.output.resolve() == options.ranked.resolve():
        raise ConfigError("the output is the list itself", got=f"-o {options.output}", next_step="choose another -o")
    if options.reranker and not options.qrels:
        options = with_fitted(options, options.reranker)
    elif not options.method:
        raise ConfigError("--method is missing", wanted=", ".join(RERANKERS))
    else:
        options = options.checked()
    for line in selection_warning(options.scoring.checkpoint, options.topics) if options.scoring else ():
        reporter.say(line)
    if options.qrels:
        return fit_reranker(options, reporter=reporter)
    learning = {"--fit-on": options.fit_on, "--edition-file": options.edition_files, "--study": options.study}
    unused = [option for option, value in learning.items() if value]
    if unused:
        raise ConfigError(f"{', '.join(unused)}: only for learning", next_step="give judgments to learn from: --qrels")
    return rerank_list(options, reporter=reporter)
