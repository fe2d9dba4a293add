from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from files import files

from avs.cli.main import main
from avs.core.errors import FormatError
from avs.trecvid.file_kind import QRELS, RUN, TOPICS, other_kind
from avs.trecvid.qrels import read_qrels
from avs.trecvid.run_file import read_run, read_run_columns
from avs.trecvid.topics import read_topics

ROOT = Path(__file__).resolve().parents[2]
CONTENT = {
    "x.trec": (RUN, "".join(f"1661 0 shot00001_{n} {n} {-n}e-3 T\n" for n in range(1, 60))),
    "ruc.trec": (RUN, "1661 1 shot00011_62 1 9999 RUCMM\n"),
    "x.xml": (RUN, '<?xml version="1.0"?>\n<!DOCTYPE a SYSTEM "b">\n<!-- c -->\n<videoAdhocSearchResults/>'),
    "qrels": (QRELS, "".join(f"1661 0 shot00001_{n} 3 -1\n" for n in range(1, 60))),
    "plain.qrels": (QRELS, "661 0 shot00001_1 1\n"),
    "topics.txt": (TOPICS, "661  a hang glider\n662 two men, 3 dogs\n"),
    "topics.xml": (TOPICS, '<videoAdhocSearchTopics><videoAdhocSearchTopic num="661"/></videoAdhocSearchTopics>'),
}
READERS: list[tuple[str, Callable[[Path], object]]] = [
    (RUN, read_run), (RUN, read_run_columns), (QRELS, read_qrels), (TOPICS, read_topics),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "read"), READERS, ids=["run", "columns", "qrels", "topics"])
@pytest.mark.parametrize("name", CONTENT)
def test_a_file_of_another_kind_is_told_in_one_line(
    tmp_path: Path, name: str, wanted: str, read: Callable[[Path], object]
) -> None:
    kind, text = CONTENT[name]
    (tmp_path / name).write_text(text)
    if kind == wanted:
        assert other_kind(text.encode(), wanted) is None
        return
    with pytest.raises(FormatError) as caught:
        read(tmp_path / name)
    assert str(caught.value) == f"this is {kind}, not {wanted}: were two files swapped?\n  where:  {tmp_path / name}"


@pytest.mark.parametrize(
    "text",
    [
        "661 0 shot00001_1 1 0.5\n",  # a run without its tag
        "661 Q0 shot00001_1 1\n",
        "661 0 shot00001_1 1 1\n661  a dog runs\n",
        "a dog runs on a beach\n",
        "\0\0\0",
        "",
    ],
)
def test_a_damaged_file_is_left_to_its_reader(text: str) -> None:
    assert all(other_kind(text.encode(), kind) is None for kind in (RUN, QRELS, TOPICS))


def test_swapped_files_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    run = str(ROOT / "runs/reference/F_M_C_D_DEMO.mini_2.xml")
    qrels = str(ROOT / "runs/reference/avs.qrels.mini")
    assert main(["eval", qrels, "--qrels", run]) == 2
    assert capsys.readouterr().err == (
        f"avs eval: this is a run, not a qrels file: were two files swapped?\n  where:  {run}\n"
    )
    table = str(ROOT / "runs/reference/mini.validShotTable")
    assert main(["check-run", qrels, run, "--edition", "mini", "--shots", table]) == 2
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{qrels}:1: this is a qrels file, not a run: were two files swapped?" and out[1].startswith("OK ")


def test_real_files(shared: Callable[[str], Path]) -> None:
    for name, kind in (("tv21/RUCMM.run", RUN), ("tv21/avs.qrels.main.tv21", QRELS)):
        content = shared(name).read_bytes()
        assert [other_kind(content, wanted) is None for wanted in (RUN, QRELS, TOPICS)] == [
            wanted == kind for wanted in (RUN, QRELS, TOPICS)
        ]
    for file in files(shared("topics"), "*.txt"):
        assert other_kind(file.read_bytes(), TOPICS) is None
