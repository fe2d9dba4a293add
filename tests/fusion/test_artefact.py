from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_pools import random_pools

from avs.core.errors import FormatError
from avs.fusion.artefact import read_fuser, write_fuser
from avs.fusion.fuser import Fuser
from avs.fusion.methods.borda import Borda
from avs.fusion.methods.comb import Average, CombMax, CombMnz, CombSum
from avs.fusion.methods.ltr import Ltr, LtrSettings, learn_to_rank
from avs.fusion.methods.rrf import ReciprocalRank
from avs.fusion.methods.weighted import Linear
from avs.fusion.normalize import Scale
from avs.fusion.two_step import TwoStep, step_1
from avs.metrics.xinfap_objective import xinfap_objective

POOLS, QRELS = random_pools(0, lists=5, topics=4, shots=150, depth=100, noise=(0.3, 1, 1, 2, 2))
FAMILIES = {"laffs": ("m0", "m2"), "clips": ("m3", "m1")}


def ltr(pools: dict, trees: int) -> Ltr:
    settings = LtrSettings(trees=(trees,), rows_in_leaf=5)
    return learn_to_rank(pools, xinfap_objective(QRELS), qrels=QRELS, folds=(), settings=settings)


def two_step() -> TwoStep:
    """Learning to rank in one family and over the families."""
    first: dict[str, Fuser] = {
        "laffs": ltr({t: pool.columns(FAMILIES["laffs"]) for t, pool in POOLS.items()}, 5),
        "clips": CombMnz(Scale("zscore", "absent")),
    }
    answers = {t: step_1(pool, FAMILIES, ("m4",), first) for t, pool in POOLS.items()}
    return TwoStep(FAMILIES, ("m4",), first, ltr(answers, 7))


FUSERS = {
    "average": lambda: Average(Scale("zscore")),
    "combsum": lambda: CombSum(Scale("minmax", "absent")),
    "combmnz": lambda: CombMnz(Scale("rank")),
    "combmax": lambda: CombMax(Scale("reciprocal-rank")),
    "linear": lambda: Linear({"m3": 1 / 3, "m0": 0.1 + 0.2, "m1": 0.0}, Scale("zscore", "absent")),
    "rrf": lambda: ReciprocalRank(17.5),
    "borda": Borda,
    "ltr": lambda: ltr(POOLS, 10),
    "two-step": two_step,
}


@pytest.mark.parametrize("name", FUSERS)
def test_a_fuser_read_again_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    fuser = FUSERS[name]()
    write_fuser(fuser, tmp_path)
    again = read_fuser(tmp_path)
    assert type(again) is type(fuser) and again.lists == fuser.lists
    for pool in POOLS.values():
        assert again.fuse(pool).tobytes() == fuser.fuse(pool).tobytes()
    assert json.loads((tmp_path / "fuser.json").read_text())["type"] == name


def test_models_are_texts_beside_it(tmp_path: Path) -> None:
    write_fuser(two_step(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fuser.json", "ltr-1.txt", "ltr-2.txt"]
    assert all(path.read_text().startswith("tree\n") for path in tmp_path.glob("ltr-*"))


def test_a_folder_without_a_fuser(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as error:
        read_fuser(tmp_path)
    assert str(error.value) == (
        f"not a fuser\n  where:  {tmp_path}\n  wanted: {tmp_path / 'fuser.json'}\n"
        "  next:   fit one: avs fuse --qrels ... --fuser"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"type": "svm"}',
        '{"type": ["linear"]}',
        '{"type": "linear", "weights": {"a": 1}}',
        '{"type": "linear", "weights": ["a"], "normalization": "minmax", "missing": "minimum"}',
        '{"type": "linear", "weights": {"a": -1}, "normalization": "minmax", "missing": "minimum"}',
        '{"type": "linear", "weights": {"a": "x"}, "normalization": "minmax", "missing": "minimum"}',
        '{"type": "average", "normalization": "minmaks", "missing": "minimum"}',
        '{"type": "average", "normalization": ["minmax"], "missing": "minimum"}',
        '{"type": "rrf", "k": -1}',
        '{"type": "rrf", "k": null}',
        '{"type": "ltr", "lists": ["a"], "trees": 3, "model": "ltr-1.txt"}',
        '{"type": "ltr", "lists": ["a"], "trees": 3, "model": 7}',
        '{"type": "ltr", "lists": ["a"], "trees": 3, "model": "../../x.txt"}',
        '{"type": "two-step", "families": [], "alone": [], "first": {}, "second": {"type": "borda"}}',
        '{"type": "two-step", "families": {"f": ["a"]}, "alone": [], "first": {}, "second": {"type": "borda"}}',
        '{"type": "two-step", "families": {"f": [{}]}, "alone": [], "first": {"f": {"type": "borda"}}, '
        '"second": {"type": "borda"}}',
        '{"type": "two-step", "families": {}, "alone": [3], "first": {}, "second": {"type": "borda"}}',
        '{"type": "ltr", "lists": [["a"]], "trees": 0, "model": "ltr-1.txt"}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_a_damaged_fuser_says_so(text: str, tmp_path: Path) -> None:
    (tmp_path / "fuser.json").write_text(text)
    with pytest.raises(FormatError, match="^not a fuser of avs\n  where:  .*fuser.json\n  got:    "):
        read_fuser(tmp_path)


@pytest.mark.parametrize("text", ["", "tree\n", "not a model", "cut"])
def test_a_damaged_model_says_so(text: str, tmp_path: Path) -> None:
    write_fuser(ltr(POOLS, 3), tmp_path)
    path = tmp_path / "ltr-1.txt"
    path.write_text(path.read_text()[:900] if text == "cut" else text)
    with pytest.raises(FormatError, match="^not a fuser of avs\n  where:  .*\n  got:    "):
        read_fuser(tmp_path)


def without(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, "", text, count=1, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without("^num_cat=0\n"), "tree 0: "),
        (lambda text: text.replace("num_cat=0", "num_dog=0", 1), "tree 0: KeyError: 'num_cat'"),
        (lambda text: re.sub("(?<=left_child=)-1", "-9", text, count=1), "left_child of split"),
        (lambda text: re.sub("(?<=^left_child=)-?[0-9]", "0", text, count=1, flags=re.M), "tree 0: "),
        (lambda text: re.sub("(?<=split_feature=)[0-9]", "x", text, count=1), "tree 0: ValueError"),
        (lambda text: re.sub(r"(?<=leaf_value=)-?0\.", "nan", text, count=1), "ValueError|not where"),
        (lambda text: text[: text.index("end of trees")], "what follows the trees is not whole"),
        (lambda text: text[: text.index("end of parameters") - 30], "what follows the trees is not whole"),
        (without("^num_class=1\n"), "no trees of LightGBM"),
    ],
)
def test_a_damaged_model_never_reaches_lightgbm(
    damage: Callable[[str], str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the process."""
    write_fuser(ltr(POOLS, 3), tmp_path)
    path = tmp_path / "ltr-1.txt"
    text = path.read_text()
    path.write_text(damage(text))
    assert path.read_text() != text
    monkeypatch.setattr("lightgbm.Booster", None)
    with pytest.raises(FormatError, match=said):
        read_fuser(tmp_path)


@pytest.mark.parametrize("change", [{"trees": 4}, {"lists": ["m0", "m1"]}])
def test_a_model_of_other_lists_or_fewer_trees_says_so(change: dict[str, object], tmp_path: Path) -> None:
    write_fuser(ltr(POOLS, 3), tmp_path)
    path = tmp_path / "fuser.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match="not the model of these lists\n  got:    3 trees over 30 features"):
        read_fuser(tmp_path)


def test_a_model_is_looked_for_in_the_folder_alone(tmp_path: Path) -> None:
    inside = tmp_path / "fuser"
    write_fuser(ltr(POOLS, 3), inside)
    (inside / "ltr-1.txt").rename(tmp_path / "ltr-1.txt")
    text = (inside / "fuser.json").read_text()
    (inside / "fuser.json").write_text(text.replace("ltr-1.txt", "../ltr-1.txt"))
    with pytest.raises(FormatError, match="FileNotFoundError"):
        read_fuser(inside)


def test_nothing_is_left_of_a_fuser_that_was_there_before(tmp_path: Path) -> None:
    write_fuser(two_step(), tmp_path)
    write_fuser(Borda(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fuser.json"]
