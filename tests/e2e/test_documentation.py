"""Every `avs` command in the pages and examples is one that avs takes; those on the reference run are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from avs.cli.main import app_for, main, module_of, verbs
from avs.cli.options import refuse_former_options
from avs.core.errors import ConfigError, did_you_mean

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "runs/*.md", "topics/*.md", "benchmarks/**/*.md", "configs/**/*.yaml")
    for path in REPOSITORY.glob(pattern)
    if path.name != "CHANGELOG.md"  # it tells of options that are gone
)
COMMAND = re.compile(r"^(?:#\s+|\$\s+)?(avs\s+(?!…|VERB).*)")
INLINE = re.compile(r"`(avs\s+[a-z][a-z-]+\s[^`]*)`")
SHELL = {"|", ";", "&&", ">", "<", ">>", "&"}


class Line(NamedTuple):
    """A command line and its place."""

    where: str
    text: str


def fenced(path: Path) -> Iterator[Line]:
    """The avs commands in the code blocks of a Markdown page, or in the comments of a YAML file."""
    inside, number, lines = path.suffix == ".yaml", 0, path.read_text(encoding="utf-8").split("\n")
    while number < len(lines):
        start, line = number, lines[number]
        number += 1
        if path.suffix == ".md" and line.lstrip().startswith("```"):
            inside = not inside
        elif inside and (match := COMMAND.match(line.strip())):
            text = match[1]
            while text.endswith("\\"):
                text = f"{text[:-1]} {lines[number].strip()}"
                number += 1
            yield Line(f"{path.relative_to(REPOSITORY)}:{start + 1}", text)


def inline(path: Path) -> Iterator[Line]:
    """The avs commands in the prose of a page, of which some are only the beginning of a command."""
    text = re.sub(
        r"```.*?```", lambda block: re.sub(r"[^\n]", " ", block[0]), path.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    for match in INLINE.finditer(text):
        number = text.count("\n", 0, match.start()) + 1
        yield Line(f"{path.relative_to(REPOSITORY)}:{number}", match[1])


def examples() -> Iterator[Line]:
    """The commands in the help of every verb."""
    for verb in verbs():
        for text in module_of(verb).EXAMPLES.strip().splitlines():
            yield Line(f"avs {verb} --help", text)


def words_of(text: str) -> list[str]:
    """The words of one command, without comments and without what is for the shell."""
    lexer = shlex.shlex(re.sub(r"\$\([^)]*\)", "", text), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    words = list(lexer)
    return words[1 : next((i for i, word in enumerate(words) if word in SHELL), len(words))]


@cache
def click_command(verb: str) -> Any:
    return typer.main.get_command(app_for(module_of(verb)))


def problem(text: str) -> str | None:
    """What avs has against a complete command, or None. Nothing is run."""
    words = words_of(text)
    if not words or words[0] in ("--help", "--version"):
        return None
    verb, *arguments = words
    if verb not in verbs():
        return f'unknown verb "{verb}"{did_you_mean(verb, verbs())}'
    usage_error: Any = typer.BadParameter.__mro__[1]
    try:
        refuse_former_options(verb, arguments)
        if "--help" not in arguments:
            click_command(verb).make_context(verb, list(arguments))
    except (ConfigError, usage_error) as error:
        return str(error.format_message() if isinstance(error, usage_error) else error)
    return None


def unknown_words(text: str) -> list[str]:
    """The verb and the options of a part of a command that avs does not have."""
    verb, *arguments = words_of(text)
    if verb not in verbs():
        return [verb]
    known = {option for parameter in click_command(verb).params for option in parameter.opts} | {"--help"}
    return [word for word in arguments if word.startswith("--") and word.partition("=")[0] not in known]


COMPLETE = [*(line for path in PAGES for line in fenced(path)), *examples()]
MENTIONED = [line for path in PAGES for line in inline(path)]
RUNNABLE = [line for line in COMPLETE if "runs/reference/" in line.text or line.text.endswith("info --env")]


@pytest.mark.parametrize("line", COMPLETE, ids=lambda line: line.where)
def test_a_command_is_one_that_avs_takes(line: Line) -> None:
    assert problem(line.text) is None, f"{line.where}: {line.text}"


@pytest.mark.parametrize("line", MENTIONED, ids=lambda line: line.where)
def test_verbs_and_options_in_prose_exist(line: Line) -> None:
    assert unknown_words(line.text) == [], f"{line.where}: {line.text}"
    refusal = problem(line.text) or ""  # a placeholder such as N is not a number, and much is left out in prose
    assert "not in the range" not in refusal and "is not one of" not in refusal, f"{line.where}: {refusal}"


@pytest.mark.parametrize("line", RUNNABLE, ids=lambda line: line.where)
def test_a_command_on_the_reference_run_runs(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert main(words_of(line.text)) == 0, f"{line.where}: {line.text}"


def test_the_pages_are_found() -> None:
    assert {line.where.partition(":")[0] for line in COMPLETE} >= {"README.md", "runs/README.md", "docs/submission.md"}
    assert {words_of(line.text)[0] for line in COMPLETE} >= set(verbs())
    assert {words_of(line.text)[0] for line in RUNNABLE} >= {"eval", "check-run", "info"}


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("avs evil x.trec --qrels q", 'unknown verb "evil"; did you mean "eval"?'),
        ("avs eval x.trec --qrel q", "No such option: --qrel"),
        ("avs eval x.trec", "Missing option '--qrels'"),
        ("avs eval --qrels q", "Missing argument 'runs'"),
        ("avs compare a b --qrels q --iterations many", "Invalid value for '--iterations'"),
        ("avs demo --size 100", "Invalid value for '--size'"),
        ("avs make-run --ranked x.trec", "--ranked is no longer an option of avs make-run"),
    ],
)
def test_a_wrong_command_would_be_noticed(text: str, refusal: str) -> None:
    assert (problem(text) or "").startswith(refusal)


def test_a_wrong_option_in_prose_would_be_noticed() -> None:
    assert unknown_words("avs eval --qrels Q --measuers AP") == ["--measuers"]
    assert unknown_words("avs evil --qrels Q") == ["evil"]


def test_a_page_is_read_with_continued_lines_comments_and_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("avs eval no\n```\n$ avs eval a.xml \\\n    --qrels q  # why\navs compare a b | head\n```\n")
    assert [(line.where, words_of(line.text)) for line in fenced(page)] == [
        ("page.md:3", ["eval", "a.xml", "--qrels", "q"]),
        ("page.md:5", ["compare", "a", "b"]),
    ]
    page.write_text("```\navs eval no\n```\n\nSee `avs eval --per-topic`.\n")
    assert list(inline(page)) == [Line("page.md:5", "avs eval --per-topic")]
