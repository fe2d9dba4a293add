"""The rerankers: one file each. To add one, write a file like `clip.py` and import it here."""

# ruff: noqa: I001, F401  # help and error messages name the rerankers in the order of these imports

from avs.reranking.methods import clip
from avs.reranking.methods import dual_softmax
from avs.reranking.methods import k_reciprocal
from avs.reranking.methods import near_duplicates
from avs.reranking.methods import judge
from avs.reranking.methods import model
from avs.reranking.methods.reranker import RERANKERS, Parameter, Reranker

__all__ = ["RERANKERS", "Parameter", "Reranker"]
