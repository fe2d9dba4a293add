"""The fusion report as one HTML page without scripts: everything is in it, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from avs.core.artifacts import atomic_write
from avs.fusion.learned import LearnedTable, learned_tables
from avs.pipeline.fuse import plots
from avs.pipeline.fuse.report import (
    HELD_OUT,
    HINDSIGHT,
    MEASURE,
    findings,
    fold_means,
    p_text,
    sizes_text,
    topic_rows,
)
from avs.pipeline.fuse.study import FusionStudy

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --card: #f5f6f8; --ink: #1c1d20; --muted: #667080; --grid: #dde1e6;
  --list: #98a2b0; --unlearned: #009e73; --average: #0072b2; --subset: #8e5bb5; --learned: #d55e00 }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --card: #1f2226; --ink: #e9eaec; --muted: #9aa3b0;
  --grid: #363b42; --list: #76808d; --unlearned: #2fc79a; --average: #56b4e9; --subset: #c79bec; --learned: #ff8a3d } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem;
  background: var(--paper); color: var(--ink) }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem } h3 { font-size: 1rem }
p.facts, figcaption, .note { color: var(--muted); font-size: .9rem; margin: .3rem 0 }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: .8rem; margin: 1.4rem 0 }
.card { background: var(--card); border-left: 4px solid var(--tone); border-radius: 4px; padding: .6rem .9rem;
  font-size: .85rem; overflow-wrap: anywhere }
.card b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums }
figure { margin: 1rem 0 } .scroll { overflow-x: auto } svg { display: block; width: 100%; min-width: 36rem }
svg text { font-family: system-ui, sans-serif !important }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap }
.words { text-align: left; white-space: normal }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--paper) }
thead th { border-bottom: 2px solid var(--muted) } tr.fused td { font-weight: 600 }
summary { cursor: pointer; margin: .4rem 0 } li { margin: .3rem 0 }
"""
# The page may load nothing; the only source allowed is its own style.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_page(study: FusionStudy, path: Path) -> None:
    """Write the HTML page: one file that needs nothing else."""
    text = page(study)
    with atomic_write(path) as file:
        file.write(text)


def page(study: FusionStudy) -> str:
    """The text of the whole page."""
    lists = [system for system in study.systems if system.kind == "list"]
    title = f"Fusion study: {study.method} over {len(lists)} lists"
    facts = (
        f"{len(study.topics)} judged topics in {len(study.folds)} folds · measure {MEASURE} · "
        f"normalization {study.scale.normalization}, missing shots {study.scale.missing} · seed {study.seed}"
    )
    sections = [
        _cards(study),
        "<h2>Findings</h2>",
        _items(findings(study)),
        f'<p class="note">{escape(HELD_OUT)} {escape(HINDSIGHT)}</p>',
        _tests(study),
        _systems(study),
        _topics(study),
        _learned(study),
        _subset(study),
        _curve(study),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        f'<h1>{escape(title)}</h1><p class="facts">{escape(facts)}</p>\n' + "\n".join(sections) + "\n</body></html>\n"
    )


def _cards(study: FusionStudy) -> str:
    average = study.system("average").mean
    cards = []
    for kind, what in (
        ("learned", study.method),
        ("average", "average"),
        ("subset", "best subset, averaged"),
        ("list", f"best single list, {study.system('list').name}"),
    ):
        mean = study.system(kind).mean  # type: ignore[arg-type]
        versus = (
            f"{MEASURE}, {study.scale.normalization}"
            if kind == "average"
            else f"{mean - average:+.4f} against the average"
        )
        cards.append(
            f'<div class="card" style="--tone: var(--{kind})">{escape(what)}<b>{mean:.4f}</b>{escape(versus)}</div>'
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _tests(study: FusionStudy) -> str:
    first = study.comparisons[0]
    how = f"all {first.swaps}" if first.exact else f"{first.swaps} random"
    rows = [
        [
            f"{test.first} − {test.second}",
            f"{test.difference:+.4f}",
            p_text(test.p_value),
            f"{test.wins}",
            f"{test.losses}",
        ]
        for test in study.comparisons
    ]
    note = f"Paired randomization tests over {len(study.topics)} topics: two-sided, with {how} swaps."
    table = _table(["systems", "difference", "p-value", "topics better", "topics worse"], rows)
    return f'<h2>Tests</h2><p class="note">{note}</p>{table}'


def _systems(study: FusionStudy) -> str:
    folds = fold_means(study)
    ranked = sorted(enumerate(study.systems), key=lambda entry: -entry[1].mean)
    rows = [[s.name, f"{s.mean:.4f}", *(f"{means[at]:.4f}" for means in folds.values())] for at, s in ranked]
    marked = [system.kind != "list" for _, system in ranked]
    counts = {fold.name: len(fold.test) for fold in study.folds}
    header = ["system", "mean", *(f"{name} ({counts[name]})" for name in folds)]
    by_fold = "by fold, with the number of held-out topics" if folds else "over all topics"
    caption = f"Mean {MEASURE}. The dashed line is the average of all lists."
    return (
        f"<h2>All lists and all fusions</h2>{_figure(plots.systems_plot(study), caption)}"
        f"{_details(f'Table: mean {MEASURE}, {by_fold}', _table(header, rows, marked=marked), opened=True)}"
    )


def _topics(study: FusionStudy) -> str:
    header = ["topic", "fold", study.method, "average", "difference", "best single list"]
    rows = [
        [
            row.topic,
            row.fold,
            f"{row.learned:.4f}",
            f"{row.average:.4f}",
            f"{row.difference:+.4f}",
            f"{row.best_single:.4f}",
        ]
        for row in topic_rows(study)
    ]
    caption = f"Above 0, {study.method} is better on that topic; below 0, the average is better."
    return (
        f"<h2>Topic by topic</h2>{_figure(plots.topics_plot(study), caption)}"
        f"{_details('Table: all topics, the largest differences first', _table(header, rows, text_columns=2))}"
    )


def _learned(study: FusionStudy) -> str:
    tables = learned_tables(study.fusers, study.final)
    if not tables:
        return f'<h2>What was learned</h2><p class="note">{escape(study.method)} has no weights to show.</p>'
    return "<h2>What was learned</h2>" + "".join(_learned_table(table, len(study.fusers)) for table in tables)


def _learned_table(table: LearnedTable, folds: int) -> str:
    header = ["", "mean", "least", "most", *(["all topics"] if table.final else []), *table.by_fold]
    rows = []
    for row in table.rows():
        last = [table.number(table.final.get(row.name, 0.0))] if table.final else []
        spread = [table.number(value) for value in (row.mean, row.least, row.most)]
        rows.append([row.name, *spread, *last, *map(table.number, row.values)])
    title = f"<h3>{escape(table.title[:1].upper() + table.title[1:])}</h3>"
    if not table.like.axis:
        return f'{title}<p class="note">{escape(table.like.note)}</p>{_table(header, rows)}'
    caption = "A long bar means that the folds disagree, so that the number says little."
    if len(table.by_fold) < folds:
        caption += f" {folds - len(table.by_fold)} of {folds} folds have no such numbers."
    if table.like.note:
        caption += f" {table.like.note}"
    return title + _figure(plots.learned_plot(table), caption) + _details("Table: by fold", _table(header, rows))


def _subset(study: FusionStudy) -> str:
    subset = study.subset
    best = len(subset.selection.lists)
    rows = [
        [f"{number}. {name}", f"{inside:.4f}", f"{outside:.4f}"]
        for number, (name, inside, outside) in enumerate(
            zip(subset.selection.path, subset.selection.means, subset.means, strict=True), start=1
        )
    ]
    marked = [number <= best for number in range(1, len(rows) + 1)]
    by_fold = [[fold, ", ".join(s.lists), f"{len(s.lists)}"] for fold, s in subset.by_fold.items()]
    caption = (
        "Greedy forward selection adds the list that helps most. Measured on the topics it was selected on (in "
        "sample), any subset looks good; only the values out of fold tell how good it is."
    )
    on_all = f"{best} of {len(rows)} lists are selected on all topics (bold in the table)"
    note = f"{on_all}; the folds select {sizes_text(study)} lists."
    return (
        f'<h2>The best subset of lists to average</h2><p class="note">{escape(note)}</p>'
        f"{_figure(plots.subset_plot(study), caption)}"
        f"{_details('Table: the lists in order', _table(['added', 'in sample', 'out of fold'], rows, marked=marked))}"
        f"{_details('Table: what each fold selected', _table(['fold', 'lists', 'number'], by_fold, text_columns=2))}"
    )


def _curve(study: FusionStudy) -> str:
    rows = [
        [f"{point.topics:g}", f"{point.mean:.4f}", f"{point.means.min():.4f}", f"{point.means.max():.4f}",
         f"{len(point.means)}"]
        for point in study.curve
    ]  # fmt: skip
    caption = "The held-out topics are the same for every point. The last point learns from all other folds."
    table = _table(["topics learned from", "mean", "least", "most", "draws"], rows)
    return (
        f"<h2>Learning curve</h2>{_figure(plots.curve_plot(study), caption)}"
        f"{_details('Table: by number of topics', table)}"
    )


def _figure(svg: str, caption: str) -> str:
    return f'<figure><div class="scroll">{svg}</div><figcaption>{escape(caption)}</figcaption></figure>'


def _details(summary: str, body: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>{body}</details>"


def _items(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1, marked: Sequence[bool] = ()
) -> str:
    """A table whose first `text_columns` are aligned left, the others right; marked rows are bold."""
    aligned = [' class="words"'] * text_columns + [""] * (len(header) - text_columns)
    head = "".join(f'<th scope="col"{how}>{escape(cell)}</th>' for how, cell in zip(aligned, header, strict=True))
    body = []
    for at, row in enumerate(rows):
        start = '<tr class="fused">' if marked and marked[at] else "<tr>"
        cells = (f"<td{how}>{escape(cell)}</td>" for how, cell in zip(aligned, row, strict=True))
        body.append(f"{start}{''.join(cells)}</tr>")
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    return f'<div class="scroll">{table}</div>'
