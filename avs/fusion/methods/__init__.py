"""The fusion methods: one file each. To add one, write a file like `rrf.py` and import it here."""

# ruff: noqa: I001, F401  # help and error messages name the methods in the order of these imports

from avs.fusion.methods import comb
from avs.fusion.methods import rrf
from avs.fusion.methods import borda
from avs.fusion.methods import weighted
from avs.fusion.methods import coordinate_ascent
from avs.fusion.methods import ltr
from avs.fusion.methods.method import AVERAGE, METHODS, Learned, Learning, Method, learner, methods_help, unlearned

__all__ = ["AVERAGE", "METHODS", "Learned", "Learning", "Method", "learner", "methods_help", "unlearned"]
