"""The rerankers: one file each. To add one, write a file like `clip.py` and import it here."""

# ruff: noqa: I001, F401  # help and error messages name the rerankers in the order of these imports

from avs.rerank.methods import clip
from avs.rerank.methods import dual_softmax
from avs.rerank.methods import k_reciprocal
from avs.rerank.methods import near_duplicates
from avs.rerank.methods import judge
from avs.rerank.methods.reranker import RERANKERS, Parameter, Reranker

__all__ = ["RERANKERS", "Parameter", "Reranker"]
