"""The importers of weights that others wrote, one per architecture; a new one is imported here."""

from avs.models.importers import clip2video, clip4clip, laff, teachclip, xclip  # noqa: F401  they register themselves
from avs.models.importers.importer import ForeignWeights, Imported, TextInput, importers

__all__ = ["ForeignWeights", "Imported", "TextInput", "importers"]
