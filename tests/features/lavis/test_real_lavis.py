"""The real salesforce-lavis beside transformers, on the same random weights.

Marked `lavis`, since the environment takes 1.7 GB: `make test ARGS="-m lavis -s tests/features/lavis"` uses the one
that AVS_LAVIS_VENV names, or builds one.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lavis_pairs import DIM, POSITIONS, SIZE, make_blip2_pair, make_blip_pair, make_clip_pair
from processes import end_by, session, started, wait_until
from tiny_checkpoints import MEAN, STD, write_bert_tokenizer, write_json
from tiny_videos import write_collection

from avs.core.errors import AvsError
from avs.core.progress import Reporter
from avs.features.embedder import load_embedder
from avs.features.lavis.building import build_environment, self_test
from avs.features.lavis.client import LavisClient
from avs.features.lavis.environment import VARIABLE, WORKER, interpreter_of
from avs.features.lavis.published import PUBLISHED, LavisCheckpoint
from avs.features.preprocess import Geometry

pytestmark = pytest.mark.lavis

NEAR = 1e-4
LONG = " ".join(["dog", "house"] * POSITIONS)
TEXTS = ["A man runs with a dog.", "the red house", LONG, "two"]
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, SIZE, SIZE), dtype=np.uint8))


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else tmp_path_factory.mktemp("lavis") / "venv"
    if not named:
        build_environment(folder, Reporter())
        os.environ[VARIABLE] = str(folder)
    yield folder
    if not named:
        del os.environ[VARIABLE]


def pairs(environment: Path) -> dict[str, Callable[[Path], tuple[Path, Path]]]:
    (words,) = environment.glob("lib/python*/site-packages/lavis/models/clip_models/bpe_simple_vocab_16e6.txt.gz")
    return {"blip": make_blip_pair, "blip2": make_blip2_pair, "clip": lambda root: make_clip_pair(root, words)}


@pytest.mark.parametrize("family", ["blip", "blip2", "clip"])
@pytest.mark.parametrize("pooling", [None, "queries"])
def test_both_backends_give_the_same_vectors(
    environment: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, family: str, pooling: str | None
) -> None:
    if pooling and family != "blip2":
        pytest.skip("only BLIP-2 has queries")
    theirs, ours = pairs(environment)[family](tmp_path)
    by_transformers = load_embedder(family, weights=theirs, pooling=pooling)
    by_lavis = load_embedder(family, weights=ours, pooling=pooling, backend="lavis")
    assert by_lavis.preprocessing == by_transformers.preprocessing
    for name, call in (("images", "encode_images"), ("texts", "encode_texts")):
        given = IMAGES if name == "images" else TEXTS
        one, other = getattr(by_transformers, call)(given), getattr(by_lavis, call)(given)
        assert one.shape == other.shape
        apart = float(np.abs(one - other).max())
        spread = float(np.abs(one - one[::-1]).max())
        print(f"\n{family} {name}: at most {apart:.1e} apart; vectors differ by {spread:.2f} among themselves")
        assert apart < NEAR < spread / 100
    cuts = [message for message in caplog.messages if message.startswith("text cut by")]
    assert len(cuts) == 2 and cuts[0].split()[3] == cuts[1].split()[3]  # both say how many tokens, which are as many
    assert np.allclose(by_lavis.encode_texts(TEXTS[:1]), by_lavis.encode_texts(TEXTS)[:1], atol=1e-5), "padding is read"
    by_lavis.close()


def in_lavis(environment: Path, code: str, folder: Path, *arguments: object) -> str:
    """What `code` prints in the interpreter of LAVIS, where `worker` is the worker's module."""
    start = f"import sys; sys.path.insert(0, {str(WORKER.parent)!r}); import worker, torch, numpy as np\n"
    start += "worker._loads_torchvision(torch) or worker._REGISTERED.append(worker._operators_of_torchvision(torch))\n"
    done = subprocess.run(
        [str(interpreter_of(environment)), "-I", "-c", start + code, *map(str, arguments)],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "TRANSFORMERS_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


PROCESSED = """
from PIL import Image
from lavis.common.registry import registry
import lavis.processors
frames = np.load("frames.npy")
for name in ("blip_image_eval", "clip_image_eval"):
    processor = registry.get_processor_class(name)(image_size=int(sys.argv[1]))
    np.save(name + ".npy", np.stack([processor(Image.fromarray(frame)).numpy() for frame in frames]))
"""


def test_frames_become_the_images_that_lavis_itself_makes(environment: Path, tmp_path: Path) -> None:
    rows = np.linspace(0, 255, 90)[:, None, None] * np.array([1.0, 0.5, 0.2])
    frames = np.stack([np.roll(np.broadcast_to(rows, (90, 120, 3)), turn, axis=0) for turn in (0, 30)])
    frames = (frames + np.random.default_rng(0).integers(-20, 20, frames.shape)).clip(0, 255).astype(np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    in_lavis(environment, PROCESSED, tmp_path, 48)
    mean, std = (np.array(row).reshape(1, 3, 1, 1) for row in (MEAN, STD))
    for name, edge in (("blip_image_eval", None), ("clip_image_eval", 48)):
        theirs = (np.load(tmp_path / f"{name}.npy") * std + mean) * 255
        apart = np.abs(theirs - Geometry(48, edge, "bicubic").apply(frames))
        print(f"\n{name}: at most {apart.max():.1f} of 255 apart, {apart.mean():.3f} on average")
        assert apart.max() < 2.5 and apart.mean() < 0.1


ITC = """
import json
from lavis.models.blip_models.blip_image_text_matching import BlipITM
from omegaconf import OmegaConf
config = OmegaConf.load(BlipITM.default_config_path("base")).model
changes = {"image_size": 32, "finetuned": "model.pth", "med_config_path": sys.argv[1]}
model = BlipITM.from_config(OmegaConf.merge(config, changes)).eval()
pixels = torch.from_numpy(np.load(sys.argv[2]))
with torch.no_grad():
    scores = [model({"image": pixels, "text_input": [text]}, match_head="itc")[:, 0] for text in ("a dog", "two")]
print(json.dumps([score.tolist() for score in scores]))
"""


def test_the_dot_product_is_the_score_of_the_matching_model(environment: Path, tmp_path: Path) -> None:
    """blip_itm in LAVIS; its contrastive head is what the catalog's blip-itm-* encode with."""
    _, ours = make_blip_pair(tmp_path)
    mean, std = (torch.tensor(row).reshape(1, 3, 1, 1) for row in (MEAN, STD))
    np.save(tmp_path / "pixels.npy", ((IMAGES.float() / 255 - mean) / std).numpy())
    printed = in_lavis(environment, ITC, ours, ours / "med.json", tmp_path / "pixels.npy")
    encoder = load_embedder("blip", weights=ours, backend="lavis")
    scores = encoder.encode_texts(["a dog", "two"]) @ encoder.encode_images(IMAGES).T
    assert np.allclose(scores, json.loads(printed.splitlines()[-1]), atol=NEAR)


@pytest.mark.parametrize("name", ["blip-base-capfilt", "blip-itm-base-coco", "blip2-itm-vit-l"])
def test_published_models_are_built_as_lavis_configures_them(environment: Path, tmp_path: Path, name: str) -> None:
    """With random weights. ViT-g (1 billion) and ViT-L at 384 pixels are left out: they take minutes."""
    folder = tmp_path / "bert-base-uncased"
    folder.mkdir()
    small = {"hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 2, "num_attention_heads": 4}
    write_json(folder / "config.json", {"model_type": "bert", "vocab_size": write_bert_tokenizer(folder), **small})
    model = PUBLISHED[name]
    opening = LavisCheckpoint(model, tmp_path, (), tmp_path).opening("cpu")
    with LavisClient(environment, opening).open() as client:
        facts = client.facts
        assert (facts["dim"], facts["takes"], facts["resize"]) == (256, model.image_size, "square")
        size = model.image_size
        _, (vectors,) = client.ask({"type": "images"}, [np.zeros((2, 3, size, size), np.uint8)])
        assert vectors.shape == ((2, 32, DIM) if model.family == "blip2" else (2, DIM))


def test_weights_that_do_not_fit_are_refused(environment: Path, tmp_path: Path) -> None:
    _, ours = make_blip2_pair(tmp_path)
    state = torch.load(ours / "model.pth")["model"]
    lacking = {name: tensor for name, tensor in state.items() if name not in ("vision_proj.bias", "query_tokens")}
    lacking["text_proj.weight"] = torch.zeros(3, 32)
    torch.save({"model": lacking}, ours / "model.pth")
    with pytest.raises(AvsError) as caught:
        load_embedder("blip2", weights=ours, backend="lavis")
    for said in ("query_tokens is missing", "vision_proj.bias is missing", "text_proj.weight has shape [3, 32]"):
        assert said in str(caught.value)
    lacking = {**state, "vision_proj.bias": torch.full((DIM,), torch.nan)}
    torch.save({"model": lacking}, ours / "model.pth")
    with pytest.raises(AvsError, match="not finite for 5 of 5 images"):
        load_embedder("blip2", weights=ours, backend="lavis").encode_images(IMAGES)


class Tree(torch.nn.Module):
    """Parameters and buffers by their names, with dots, as in an archive of OpenAI."""

    def add(self, name: str, tensor: torch.Tensor) -> None:
        first, _, rest = name.partition(".")
        if not rest:
            self.register_buffer(first, tensor)
            return
        if not hasattr(self, first):
            self.add_module(first, Tree())
        getattr(self, first).add(rest, tensor)


@pytest.mark.filterwarnings("ignore:.*jit:DeprecationWarning")
def test_the_archive_of_clip(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A TorchScript of the same names as OpenAI's, in float16, with three numbers beside the tensors."""
    _, ours = pairs(environment)["clip"](tmp_path)
    tree = Tree()
    for name, tensor in torch.load(ours / "model.pth")["model"].items():
        tree.add(name, tensor.half())
    for name, number in (("input_resolution", SIZE), ("context_length", POSITIONS), ("vocab_size", 49408)):
        tree.add(name, torch.tensor(number))
    file = tmp_path / "ViT.pt"
    torch.jit.script(tree).save(str(file))
    known = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "dim": 48, "image_size": SIZE}
    monkeypatch.setitem(PUBLISHED, "clip-vit-b32", replace(PUBLISHED["clip-vit-b32"], **known))
    with closing(load_embedder("clip-vit-b32", weights=file, backend="lavis")) as encoder:
        with closing(load_embedder("clip", weights=ours, backend="lavis")) as other:
            assert np.array_equal(encoder.encode_images(IMAGES), other.encode_images(IMAGES))
            assert np.array_equal(encoder.encode_texts(TEXTS), other.encode_texts(TEXTS))


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_a_file_that_holds_code_is_refused_and_nothing_is_run(environment: Path, tmp_path: Path) -> None:
    _, ours = make_blip2_pair(tmp_path)
    torch.save({"model": {"a": Harmful()}}, ours / "model.pth")
    with pytest.raises(AvsError, match="UnpicklingError"):
        load_embedder("blip2", weights=ours, backend="lavis")
    assert not list(tmp_path.rglob("harm"))


def test_the_self_test(environment: Path) -> None:
    tested = self_test(environment)
    assert tested["versions"]["salesforce-lavis"] == "1.0.2"  # type: ignore[index]


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)], ids=str
)
def test_no_worker_is_left(tmp_path: Path, how: signal.Signals, code: int) -> None:
    """Whether it loads or computes."""
    write_collection(tmp_path, films=40)
    _, ours = make_blip2_pair(tmp_path / "pair")
    words = ["--videos", tmp_path / "videos", "--shots", tmp_path / "shots.tsv", "-o", tmp_path / "out"]
    words += ["--model", "blip2", "--weights", ours, "--backend", "lavis", "--workers", 0, "--batch-size", 1]
    parts = tmp_path / "out/blip2/shot/parts"
    with started(["-m", "avs", "extract-features", *words]) as process:
        wait_until(lambda: len(list(parts.glob("*"))) > 2, process)
        assert len(session(process.pid)) >= 2
        ended, err = end_by(process, how)
    assert ended == code and "Traceback" not in err
