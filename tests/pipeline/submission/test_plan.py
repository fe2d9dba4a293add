from __future__ import annotations

import re
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pytest

from avs.cli import options
from avs.cli.make_submission import describe
from avs.core.config import load_config
from avs.core.errors import AvsError, ConfigError
from avs.pipeline.submission.plan import SubmissionPlan
from avs.pipeline.submission.planner import read_submission
from avs.pipeline.submission.verb_options import Option, Verb
from avs.pipeline.train.grid import expand
from avs.pipeline.train.recipe import TrainRecipe

TOP = """\
edition: tv23
topics: topics.txt
shots: table
pid: TEAM
class: F
task: M
novelty: C
trtype: D
"""
RUN = "runs: [{priority: 1, list: a, desc: x}]\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("topics.txt", "table", "other.trec", "past.txt", "qrels"):
        Path(name).touch()
    for name in ("features/clip/shot", "features/blip/shot", "models/laff10", "models/laff9", "old/clip/shot"):
        Path(name).mkdir(parents=True)
    return tmp_path


def plan(text: str) -> SubmissionPlan:
    Path("x.yaml").write_text(TOP + text)
    return read_submission(Path("x.yaml"), Path("out"), describe)


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan(text)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def argv(text: str, step: str) -> str:
    return " ".join(next(one for one in plan(text).steps if one.name == step).argv)


def test_a_search_gets_the_topics_of_the_submission_and_its_options_as_they_stand() -> None:
    search = (
        "searches: {a: {store: features/clip/shot, k: 500, zero_shot: true, score-dtype: null, query-mode: both}}\n"
    )
    assert argv(search + RUN, "a") == (
        "search --topics topics.txt --edition tv23 --store features/clip/shot --k 500 --zero-shot --query-mode both "
        "-o out/lists/a/"
    )
    past = "searches: {a: {store: features/clip/shot, topics: [topics.txt, past.txt]}}\n"
    assert argv(past + RUN, "a") == (
        "search --store features/clip/shot --topics topics.txt --topics past.txt -o out/lists/a/"
    )


def test_patterns_of_files_are_filled_in_in_natural_order_and_name_the_lists() -> None:
    submission = plan(
        "searches: {a: {store: features/*/shot, checkpoint: models/*}}\nruns: [{priority: 1, list: a/laff9, desc: x}]"
    )
    assert [path.stem for path in submission.steps[0].makes] == ["laff9", "laff10"]
    assert "--checkpoint models/laff9 --checkpoint models/laff10" in " ".join(submission.steps[0].argv)
    assert submission.steps[1].argv[:2] == ["make-run", "out/lists/a/laff9.trec"]


def test_a_run_has_the_options_of_the_top_and_its_own_over_them() -> None:
    search = "dropped: table\nelapsed: 3\nsearches: {a: {store: features/clip/shot}}\n"
    text = search + "runs: [{priority: 2, list: a, novelty: N, elapsed: 5, desc: a novelty run}]\n"
    submission = plan(text)
    assert [(run.id, run.priority, run.made_of) for run in submission.runs] == [("F_M_N_D_TEAM.23_2", 2, "a")]
    assert submission.runs[0].path == Path("out/runs/F_M_N_D_TEAM.23_2.xml")
    words = argv(text, "F_M_N_D_TEAM.23_2")
    assert "--novelty N" in words and "--elapsed 5" in words and "--dropped table" in words and "--class F" in words
    assert (
        argv(text, "check-run")
        == "check-run out/runs/F_M_N_D_TEAM.23_2.xml --edition tv23 --shots table --dropped table"
    )


@pytest.mark.parametrize("key", ["edition_file", "edition-file"])
def test_every_step_gets_the_description_of_the_edition(key: str) -> None:
    Path("my.yaml").write_text("id: tv26\nyear: 2026\ntopics: {M: [771, 790]}\n")
    Path("x.yaml").write_text(
        TOP.replace("tv23", f"tv26\n{key}: my.yaml") + "searches: {a: {store: features/clip/shot}}\n" + RUN
    )
    steps = {step.name: " ".join(step.argv) for step in read_submission(Path("x.yaml"), Path("out"), describe).steps}
    assert list(steps) == ["a", "F_M_C_D_TEAM.26_1", "check-run"]
    assert all(" --edition tv26 --edition-file my.yaml " in words for words in steps.values())


FUSED = """\
lists: {team: other.trec}
fusions:
  all: {lists: [now, team], past: before, ltr: true, qrels: qrels, fit-on: tv19, family: {encoders: "*-shot"}}
  again: {lists: [now/clip-shot, team], ltr: true, fuser: all}
searches:
  now: {store: features/*/shot}
  before: {store: old/*/shot, topics: past.txt}
runs: [{priority: 1, list: all, desc: x}, {priority: 2, list: again, desc: y}]
"""


def test_a_fusion_stands_behind_the_searches_it_needs_and_a_fuser_behind_the_one_that_learns_it() -> None:
    submission = plan(FUSED)
    assert [step.name for step in submission.steps] == [
        "now", "before", "all", "again", "F_M_C_D_TEAM.23_1", "F_M_C_D_TEAM.23_2", "check-run",
    ]  # fmt: skip
    steps = {step.name: step for step in submission.steps}
    assert steps["all"].needs == ("now", "before")
    assert " ".join(steps["all"].argv) == (
        "fuse out/lists/now/blip-shot.trec out/lists/now/clip-shot.trec other.trec --topics topics.txt --ltr "
        "--qrels qrels --fit-on tv19 --family encoders=*-shot --fuser out/fusions/all --past out/lists/before "
        "-o out/lists/all.trec"
    )
    assert steps["again"].needs == ("now", "all")
    assert "--fuser out/fusions/all" in " ".join(steps["again"].argv)


def test_only_one_step_takes_what_it_needs_along() -> None:
    assert [step.name for step in plan(FUSED).only("again")] == ["now", "before", "all", "again"]
    with pytest.raises(AvsError, match='no step is called "agin"; did you mean "again"'):
        plan(FUSED).only("agin")


SEARCH = "searches: {a: {store: features/clip/shot}}\n"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (SEARCH + "clas: M\n" + RUN, ['x.yaml:10: clas: unknown key; did you mean "class"?']),
        (SEARCH, ["x.yaml:1: runs: required, but absent"]),
        (SEARCH + "runs: [{list: a, desc: x}]", ["x.yaml:10: runs.0.priority: required, but absent"]),
        (
            SEARCH + "runs: [{priority: 1, list: b, desc: x}]",
            ['x.yaml:10: runs.0.list: no list is called "b"'],
        ),
        (
            "searches: {a: {stor: x, k: many, quiet: true}}\n" + RUN,
            [
                'x.yaml:9: searches.a.stor: avs search has no option --stor; did you mean "store"?',
                "x.yaml:9: searches.a.quiet: cannot be set here",
            ],
        ),
        (
            "searches: {a: {store: features/clip/shot, k: many}}\n" + RUN,
            ["x.yaml:9: searches.a: avs search: Invalid value for '--k': 'many' is not a valid int range."],
        ),
        ("searches: {a: {k: 5}}\n" + RUN, ["x.yaml:9: searches.a: avs search: Missing option '--store'."]),
        (
            "searches: {a: {store: nope, checkpoint: models/x*}}\n" + RUN,
            [
                "x.yaml:9: searches.a.store: no such file or folder: nope",
                'x.yaml:9: searches.a.checkpoint: no file matches "models/x*"',
            ],
        ),
        (
            "searches: {a: {store: features/clip/shot, zero-shot: 1, edition: [tv22, tv23]}}\n" + RUN,
            [
                "x.yaml:9: searches.a.edition: takes one value, got 2",
                "x.yaml:9: searches.a.zero-shot: must be true or false, got 1",
            ],
        ),
        ("lists: {a: gone.trec}\n" + RUN, ["x.yaml:9: lists.a: no such file: gone.trec"]),
        ("lists: {a: other.trec}\n" + SEARCH + RUN, ["x.yaml:10: searches.a: lists has the same name"]),
        (
            'lists: {"a b": other.trec, a: other.trec}\n' + RUN,
            ["x.yaml:9: lists.a b: a name is a plain word of letters, digits, '.', '_' and '-'"],
        ),
        (
            "fusions: {a: {lists: [b]}, b: {lists: [c]}, c: {lists: [b]}}\n" + RUN,
            ["x.yaml:9: fusions.b: is made from itself: b -> c -> b"],
        ),
        (
            "searches: {a: {store: features/*/shot}}\nfusions: {f: {lists: [a/clap-*, a]}}\n" + RUN,
            [
                'x.yaml:10: fusions.f.lists.0: no list of a is called "clap-*"; it has blip-shot, clip-shot',
                "x.yaml:11: runs.0.list: means 2 lists; fuse them, or name one of a/blip-shot, a/clip-shot",
            ],
        ),
        (
            SEARCH + "fusions: {f: {lists: [a, b], past: c}}\n" + RUN,
            [
                'x.yaml:10: fusions.f.lists.1: no list is called "b"',
                'x.yaml:10: fusions.f.past: neither a search nor a folder: "c"',
            ],
        ),
        (
            "searches: {a: {store: features/clip/shot}, b: {store: old/clip/shot}}\nfusions: {f: {lists: [a, b]}}\n"
            + RUN,
            [
                "x.yaml:10: fusions.f.lists: two lists are called clip-shot: out/lists/a/clip-shot.trec and "
                "out/lists/b/clip-shot.trec"
            ],
        ),
        (
            SEARCH + "runs:\n  - {priority: 1, list: a, desc: x}\n  - {priority: 1, list: a, desc: y}\n",
            [
                "x.yaml:12: runs.1.priority: priority 1 is used by runs.0 already",
                "x.yaml:12: runs.1.list: the list a is used by runs.0 already",
            ],
        ),
        (
            SEARCH + "runs:\n  - {priority: 1, list: a, desc: x}\n  - {priority: 2, list: a/clip-shot, desc: y}\n",
            ["x.yaml:12: runs.1.list: the list a/clip-shot is used by runs.0 already"],
        ),
        (
            "lists: {check-run: other.trec, F_M_C_D_TEAM.23_1: other.trec, a: other.trec}\n" + RUN,
            [
                "x.yaml:9: lists.check-run: the last step has this name",
                "x.yaml:9: lists.F_M_C_D_TEAM.23_1: the name is the id of runs.0",
            ],
        ),
        (
            SEARCH + "runs: [{priority: 1, list: a, trtype: X, desc: x}]",
            ['x.yaml:10: runs.0.trtype: is "X", must be one of A D E F in tv23'],
        ),
        (SEARCH + "runs: [{priority: 1, list: a}]", ["x.yaml:10: runs.0: avs make-run: Missing option '--desc'."]),
        (
            SEARCH + "runs: [{priority: 1, list: a, desc: x, shots: table}]",
            ["x.yaml:10: runs.0.shots: cannot be set here"],
        ),
    ],
)
def test_problems_are_told_with_their_place_before_anything_runs(text: str, problems: list[str]) -> None:
    assert refused(text) == problems


def test_topics_and_shots_that_are_not_there_are_told_once(folder: Path) -> None:
    Path("topics.txt").unlink()
    Path("table").unlink()
    text = "lists: {a: other.trec}\nruns: [{priority: 1, list: a, desc: x}, {priority: 2, list: a, desc: y}]"
    first = [problem for problem in refused(text) if "the list a" not in problem]
    assert first == ["x.yaml:2: topics: no such file: topics.txt", "x.yaml:3: shots: no such file: table"]


def test_everything_at_the_top_that_cannot_be(folder: Path) -> None:
    Path("x.yaml").write_text(
        "edition: tv2023\ntopics: [no.txt]\nshots: none\npid: a b\nlists: {a: other.trec}\n" + RUN
    )
    with pytest.raises(ConfigError) as caught:
        read_submission(Path("x.yaml"), Path("out"), describe)
    assert str(caught.value).splitlines() == [
        "config x.yaml: 3 problems",
        "  x.yaml:2: topics: no such file: no.txt",
        "  x.yaml:3: shots: no such file: none",
        '  x.yaml:1: edition: unknown edition "tv2023"; did you mean "tv23"?',
    ]


def test_an_option_that_a_verb_no_longer_has_is_refused_with_the_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "FORMER", {"search": {"--stores": "--store"}})
    assert refused("searches: {a: {stores: features/clip/shot}}\n" + RUN) == [
        "x.yaml:9: searches.a.stores: avs search no longer has --stores: use --store",
    ]


def test_main_and_progress_runs_of_one_list_are_two_runs() -> None:
    runs = (
        "runs:\n  - {priority: 1, list: a, desc: x}\n  - {priority: 1, list: a, desc: x, task: P, topics: past.txt}\n"
    )
    submission = plan(SEARCH + runs)
    assert [run.id for run in submission.runs] == ["F_M_C_D_TEAM.23_1", "F_P_C_D_TEAM.23_1"]
    assert "--topics past.txt" in argv(SEARCH + runs, "F_P_C_D_TEAM.23_1")


CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def make_files_of(config: Path) -> None:
    """Empty files and folders for all that a YAML of configs/runs reads."""
    for path in set(re.findall(r"(?:data|models|submissions)/[\w./*-]+", config.read_text(encoding="utf-8"))):
        is_folder = "FeatureData" in path or path.startswith("models/")
        if path == "models/rucmm_tv23/*":
            for model in expand(load_config(CONFIGS / "train/rucmm_tv23.yaml", TrainRecipe)):
                Path("models/rucmm_tv23", model).mkdir(parents=True, exist_ok=True)
        elif is_folder and "*" not in path:
            Path(path).mkdir(parents=True, exist_ok=True)
        elif not is_folder:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()


@pytest.mark.parametrize(
    ("name", "lists"),
    [
        ("dmt_cuc_tv21", ["dual-encoding"]),
        ("rucmm_tv22", ["step-1-and-2", "step-1", "laffs-step-1-and-2", "laffs-step-1"]),
        ("rucmm_tv23", ["step-1-and-2-reranked", "step-1-and-2", "step-1-reranked", "step-1"]),
        ("rucmm_tv23_rerank", ["clip", "dual-softmax-then-clip", "k-reciprocal", "step-1-and-2"]),
        ("rucmm_tv23_narratives", ["of-queries", "of-narratives", "of-both"]),
    ],
)
def test_every_shipped_submission_can_be_planned(name: str, lists: list[str]) -> None:
    assert {path.stem for path in (CONFIGS / "runs").glob("*.yaml")} == {
        "mini", "dmt_cuc_tv21", "rucmm_tv22", "rucmm_tv23", "rucmm_tv23_rerank", "rucmm_tv23_narratives",
    }  # fmt: skip
    config = CONFIGS / "runs" / f"{name}.yaml"
    make_files_of(config)
    assert [run.made_of for run in read_submission(config, Path("out"), describe).runs] == lists


def test_the_sibling_of_tv22_learns_from_earlier_years_only() -> None:
    config = CONFIGS / "runs/rucmm_tv22.yaml"
    make_files_of(config)
    steps = {step.name: step for step in read_submission(config, Path("out"), describe).steps}
    assert steps["step-1-and-2"].needs == ("laffs", "teachclip", "tv19-21", "teachclip-tv19-21")
    words = list(steps["step-1-and-2"].argv)
    assert words[words.index("--fit-on") + 1] == "tv19,tv20,tv21"
    assert not any("tv22" in word or "tv23" in word for word in words if "qrels" in word)


@pytest.mark.parametrize(("name", "past"), [("rucmm_tv22", ["tv19-21"]), ("rucmm_tv23", ["tv19-21", "tv22"])])
def test_the_runs_of_rucmm_fuse_the_43_models_that_their_trainings_make(name: str, past: list[str]) -> None:
    config = CONFIGS / f"runs/{name}.yaml"
    models = list(expand(load_config(CONFIGS / "train/rucmm_tv23.yaml", TrainRecipe)))
    assert len(models) == 42
    make_files_of(config)
    submission = read_submission(config, Path("out"), describe)
    steps = {step.name: step for step in submission.steps}
    student = "teachclip-rucmm-shot"  # a store is searched by cosine, and its list is called as its folder
    for step in ("step-1", "step-1-and-2", "weighted", "average"):
        words = steps[step].argv
        assert len(set(words[1:44])) == 43 and {Path(one).stem for one in words[1:44]} == {*models, student}
        assert all(Path(one).suffix == ".trec" for one in words[1:44]) and not words[44].endswith(".trec")
    for step in ("laffs-step-1-and-2", "laffs-average"):
        assert {Path(one).stem for one in steps[step].argv[1:43]} == set(models)
    for search in past:
        assert {path.stem for path in steps[search].makes} == set(models)
        assert [path.stem for path in steps[f"teachclip-{search}"].makes] == [student]
    learned = ("laffs", "teachclip", *past, *(f"teachclip-{search}" for search in past))
    assert steps["step-1-and-2"].needs == steps["weighted"].needs == learned
    patterns = [one.split("=")[1] for word, one in pairwise(steps["step-1-and-2"].argv) if word == "--family"]
    assert [sum(fnmatchcase(model, pattern) for model in models) for pattern in patterns] == [7] * 6
    assert not any(fnmatchcase(student, pattern) for pattern in patterns)


def test_the_student_of_rucmms_runs_is_trained_and_extracted_under_the_name_that_they_search() -> None:
    trained = (CONFIGS / "train/teachclip_rucmm_tv23.yaml").read_text(encoding="utf-8")
    for name in ("rucmm_tv22", "rucmm_tv23"):
        text = (CONFIGS / f"runs/{name}.yaml").read_text(encoding="utf-8")
        assert "--config configs/train/teachclip_rucmm_tv23.yaml --device cuda -o models/teachclip-rucmm" in text
        assert "--model models/teachclip-rucmm --level shot -o data/$c/FeatureData" in text
        assert "-o models/teachclip-rucmm" in trained


def test_rucmms_two_lists_of_tv23_are_reranked_or_not() -> None:
    config = CONFIGS / "runs/rucmm_tv23.yaml"
    make_files_of(config)
    submission = read_submission(config, Path("out"), describe)
    assert [run.id for run in submission.runs] == [f"F_M_C_D_TEAM.23_{priority}" for priority in (1, 2, 3, 4)]
    steps = {step.name: step for step in submission.steps}
    for name in ("step-1", "step-1-and-2"):
        assert steps[f"{name}-reranked"].argv[:2] == ["rerank", f"out/lists/{name}.trec"]


def test_rerankings_follow_each_other() -> None:
    rerank_options = {"topics": Option(repeatable=True, reads=True), "method": Option(), "store": Option(reads=True)}
    reranker = Verb("rerank", rerank_options, lambda words: None)
    Path("x.yaml").write_text(
        TOP
        + SEARCH
        + "reranks:\n"
        + "  last: {list: first, method: near-duplicates}\n"
        + "  first: {list: a, method: clip, store: features/clip/shot}\n"
        + "runs: [{priority: 1, list: last, desc: x}]\n"
    )
    submission = read_submission(
        Path("x.yaml"), Path("out"), lambda verb: reranker if verb == "rerank" else describe(verb)
    )
    assert [(step.name, step.needs) for step in submission.steps] == [
        ("a", ()), ("first", ("a",)), ("last", ("first",)), ("F_M_C_D_TEAM.23_1", ("last",)),
        ("check-run", ("F_M_C_D_TEAM.23_1",)),
    ]  # fmt: skip
    assert " ".join(submission.steps[1].argv) == (
        "rerank out/lists/a/clip-shot.trec --topics topics.txt --method clip --store features/clip/shot "
        "-o out/lists/first.trec"
    )
    assert " ".join(submission.steps[2].argv) == (
        "rerank out/lists/first.trec --topics topics.txt --method near-duplicates -o out/lists/last.trec"
    )


def test_a_reranking_is_fitted_before_and_a_judge_makes_its_cache() -> None:
    Path("videos").mkdir()
    rest = "runs: [{priority: 1, list: r, desc: x}]\n"
    fitted = "reranks:\n  r: {list: a, method: clip, store: features/clip/shot, qrels: qrels}\n"
    assert any("fit the reranking first: avs rerank PAST" in one for one in refused(SEARCH + fitted + rest))
    how = "method: judge, vlm: org/model, videos: videos, shots: topics.txt, cache: not-yet.tsv"
    submission = plan(SEARCH + f"reranks:\n  r: {{list: a, {how}}}\n" + rest)
    assert "--cache not-yet.tsv" in " ".join(submission.steps[1].argv)
