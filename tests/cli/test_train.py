"""The train verbs: an architecture from outside the package, options and defaults of its own, former spellings."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tiny_collection import TinyCollection, tiny_collection

from avs.cli.main import main
from avs.models.architectures import Architecture, architectures, option
from avs.models.retrieval import RetrievalModel
from avs.train.checkpoint import read_checkpoint
from avs.trecvid.trec import read_trec

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class ToyConfig:
    video: dict[str, int]
    text: dict[str, int]
    size: int = option(8, "Dimensions of the toy's space")


class Toy(RetrievalModel):
    """One linear map on each side, and the squared distance of a pair as its loss."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.video_features, self.text_features = tuple(config.video), tuple(config.text)
        self.video = torch.nn.Linear(sum(config.video.values()), config.size)
        self.text = torch.nn.Linear(sum(config.text.values()), config.size)

    def embed_videos(self, videos):
        return self.video(torch.cat([videos.vectors[name] for name in self.video_features], dim=1))

    def embed_texts(self, texts):
        return self.text(torch.cat([texts.vectors[name] for name in self.text_features], dim=1))

    def score(self, texts, videos):
        return -torch.cdist(texts, videos)

    def loss(self, texts, videos, *, video_of):
        return (texts - videos).square().mean()


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> TinyCollection:
    return tiny_collection(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(architectures, "_items", dict(architectures._items))
    examples = "avs train-toy --captions c.txt --store s -o models/toy"
    recipe = {"training": {"epochs": 3, "learning_rate": 0.01}, "validation": {"measure": "SumR"}}
    architectures.register("toy")(
        Architecture(ToyConfig, Toy, "Train a toy.", "Train a toy on captioned videos.", examples, recipe)
    )
    yield


def test_an_architecture_from_outside_has_a_verb(toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert "\n  train-toy            Train a toy.\n" in listed
    assert listed.index("train-laff") < listed.index("train-toy") < listed.index("\n  search ")
    assert main(["train-toy", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Train a toy on captioned videos." in out
    assert "Dimensions of the toy's space; default 8." in out
    assert "Largest number of epochs; default 3." in out
    assert "--heads" not in out
    assert "avs train-toy --captions c.txt --store s -o models/toy" in out


def test_an_architecture_from_outside_is_trained_and_searched_with(
    toy, collection: TinyCollection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, lists = tmp_path / "toy", tmp_path / "toy.trec"
    assert main(["train-toy", *collection.options, "--text", "bow", "--size", "5", "-o", str(out)]) == 0
    assert "toy: 0.0 M parameters" in capsys.readouterr().err
    checkpoint = read_checkpoint(out)
    assert checkpoint.architecture == "toy" and checkpoint.config["size"] == 5 and not checkpoint.attention
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 3
    topics = tmp_path / "topics.txt"
    topics.write_text("901 a dog in the forest\n")
    stores = [word for store in collection.stores for word in ("--store", str(store))]
    assert main(["search", "--topics", str(topics), *stores, "--checkpoint", str(out), "-o", str(lists)]) == 0
    assert len(read_trec(lists).lists["901"].shots) == 48


def test_an_architecture_is_refused_features_that_it_does_not_read(
    toy, collection: TinyCollection, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = ["--store", str(collection.frames)]
    assert main(["train-toy", *collection.options, *frames, "--text", "bow", "-o", str(tmp_path / "toy")]) == 2
    assert "options of toy that cannot be used\n  got:    unknown option video_frames" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train-laff", "train-dual-encoding"])
@pytest.mark.parametrize(
    ("former", "now"), [("--features", "--store"), ("--validation-features", "--validation-store")]
)
def test_former_spellings_are_refused(verb: str, former: str, now: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, former, "x", "-o", "y"]) == 2
    assert f"{former} is no longer an option of avs {verb}\n  next:   use {now}\n" in capsys.readouterr().err


def test_a_recipe_is_checked_without_torch() -> None:
    code = (
        "import sys; from avs.cli.main import main; "
        "code = main(['train-laff', '--config', 'configs/train/rucmm_tv23.yaml', '--list']); "
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert len(lines) == 43 and lines[-1] == "0 False"


def test_the_help_of_avs_needs_neither_torch_nor_pydantic() -> None:
    code = (
        "import sys; from avs.cli.main import main; main([]); print({'torch', 'pydantic', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "set()"
