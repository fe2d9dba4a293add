from __future__ import annotations

import pickle

import pytest

from avs.core.errors import AvsError, FormatError, Problems, TooManyFailuresError, VideoError, did_you_mean


def test_an_error_says_what_where_got_wanted_and_next() -> None:
    error = FormatError(
        "not a shot id", where="run.trec:3", got="'shot'", wanted="shot<video>_<n>", next_step="mend it"
    )
    assert str(error) == (
        "not a shot id\n  where:  run.trec:3\n  got:    'shot'\n  wanted: shot<video>_<n>\n  next:   mend it"
    )


def test_only_given_fields_are_said() -> None:
    assert str(AvsError("no topics")) == "no topics"
    assert str(AvsError("x", got=0)) == "x\n  got:    0"


def test_exit_codes() -> None:
    assert (AvsError("x").exit_code, TooManyFailuresError("x").exit_code) == (2, 1)


def test_an_error_keeps_its_fields_across_processes() -> None:
    error = pickle.loads(pickle.dumps(VideoError("cannot open", where="a.mp4", next_step="re-encode it")))
    assert (type(error), error.where, error.next_step) == (VideoError, "a.mp4", "re-encode it")


def test_problems_are_reported_together_and_the_rest_counted() -> None:
    problems = Problems("run.xml")
    problems.raise_if_any()
    for line in range(52):
        problems.add(f"run.xml:{line}", f"bad {'x' * line}")
    with pytest.raises(FormatError) as caught:
        problems.raise_if_any(next_step="mend them")
    lines = str(caught.value).splitlines()
    assert lines[0] == "run.xml: 52 problems"
    assert lines[1] == "  run.xml:0: bad "
    assert lines[51] == "  ... and 2 more"
    assert len(lines) == 53


def test_many_problems_of_one_kind_are_three_examples_and_a_number() -> None:
    problems = Problems("x.trec")
    for line in range(1, 101):
        problems.add(f"x.trec:{line}", f'shot0_{line} of topic {line} scores "{"abc"[line % 3]}"')
        if line <= 5:
            problems.add(f"x.trec:{line}", f"rank {line} is repeated")
    lines = list(problems.lines())
    assert lines[:2] == ['x.trec:1: shot0_1 of topic 1 scores "b"', "x.trec:1: rank 1 is repeated"]
    assert lines[4:7] == [
        'x.trec:3: shot0_3 of topic 3 scores "a"',
        "... and 97 more of this kind",
        "x.trec:3: rank 3 is repeated",
    ]
    assert len(lines) == 3 + 1 + 5
    many = Problems("many")
    for number in range(60):
        many.add(number, chr(97 + number % 26) * (1 + number // 26))
    for number in range(9):
        many.add(number, f"late {number}")
    assert [*many.lines()][50:] == ["... and 19 more"] and str(len(many)) == "69"


def test_did_you_mean() -> None:
    assert did_you_mean("rff", ["rrf", "borda"]) == '; did you mean "rrf"?'
    assert did_you_mean("zzz", ["rrf"]) == ""
