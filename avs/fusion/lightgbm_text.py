"""A check of LightGBM's text of a model. LightGBM ends the whole process on some damaged ones, so it must not see them.

tree ... tree_sizes=361 360 ...      a header, with the length of every tree's text
Tree=0 ...                           lines NAME=VALUES; a tree of n leaves has n - 1 splits
end of trees ...
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

HEADER = (
    r"tree\nversion=v\d\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=(?P<last>\d+)\n"
    r"objective=lambdarank\nfeature_names=[^\n]*\n(monotone_constraints=[01 -]*\n)?feature_infos=[^\n]*\n"
    r"tree_sizes=(?P<sizes>\d+( \d+)*)\n\n"
)
END = (
    r"end of trees\n\nfeature_importances:\n(Column_\d+=\d+\n)*\nparameters:\n(\[\w+: [^\n]*\]\n)*\n"
    r"end of parameters\n\npandas_categorical:\S*\n?"
)
OF_SPLITS = (
    "split_feature", "threshold", "decision_type", "left_child", "right_child", "split_gain", "internal_value",
    "internal_weight", "internal_count",
)  # fmt: skip
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")


def require_whole(text: str) -> None:
    """Check that all trees are there, have all their fields, and end.

    Raises:
        ValueError: says what is wrong.
    """
    header, first, trees = text.partition("Tree=0\n")
    found = re.fullmatch(HEADER, header)
    if not found or not first:
        raise ValueError("no trees of LightGBM")
    trees, at = first + trees, 0
    for number, size in enumerate(map(int, found["sizes"].split())):
        lines = trees[at : at + size].split("\n")
        if lines[0] != f"Tree={number}":
            raise ValueError(f"tree {number} is not where the header says")
        try:
            _require_tree(dict(line.split("=", 1) for line in lines[1:] if line), int(found["last"]))
        except (ValueError, KeyError) as error:
            raise ValueError(f"tree {number}: {type(error).__name__}: {error}") from error
        at += size
    if not re.fullmatch(END, trees[at:]):
        raise ValueError("what follows the trees is not whole")


def _require_tree(fields: Mapping[str, str], last_feature: int) -> None:
    leaves = int(fields["num_leaves"])
    if leaves < 1 or fields["num_cat"] != "0" or fields["is_linear"] != "0":
        raise ValueError("not a tree of plain splits")
    float(fields["shrinkage"])
    if leaves == 1:  # a constant
        float(fields["leaf_value"])
        return
    for names, count in ((OF_SPLITS, leaves - 1), (OF_LEAVES, leaves)):
        for name in names:
            values = [float(value) for value in fields[name].split()]
            if len(values) != count or not all(map(math.isfinite, values)):
                raise ValueError(f"{name}: {len(values)} numbers, wanted {count}, all finite")
    if not all(0 <= int(feature) <= last_feature for feature in fields["split_feature"].split()):
        raise ValueError("a split by a feature that is not there")
    for side in ("left_child", "right_child"):
        for parent, child in enumerate(map(int, fields[side].split())):
            if not (parent < child < leaves - 1 or -leaves <= child < 0):
                raise ValueError(f"{side} of split {parent} is {child}")
