"""The process that runs salesforce-lavis, in an interpreter of its own that has no avs.

A message is four bytes of length, a JSON header of that length, and the raw bytes of its arrays; nothing is pickled.
It greets with the number of the protocol and the versions of its packages. It imports the standard library and numpy
alone until it is asked to load a model, so a greeting takes a moment.

Whatever LAVIS prints goes to stderr: the pipe of the messages is moved away from file descriptor 1 first.
"""

from __future__ import annotations

import json
import math
import os
import queue
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import metadata
from typing import Any

import numpy as np

PROTOCOL = 1
LENGTH = struct.Struct(">I")
MOST_HEADER_BYTES = 2**24  # what prints to the pipe of the messages begins with letters, which mean more than that
DTYPES = ("uint8", "float32")
PACKAGES = ("salesforce-lavis", "transformers", "timm", "torch", "torchvision", "numpy")
BERT = "bert-base-uncased"
UNREAD = ("temp", "itm_head.", "Qformer.cls.")  # parts of the models that no feature reads

_REGISTERED: list[Any] = []  # operators are there as long as their library is

Message = tuple[dict[str, Any], list[np.ndarray]]


def pack(header: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> list[memoryview]:
    """The bytes of a message, in pieces.

    Args:
        header: what JSON can say; `arrays` is added to it.
        arrays: of the types DTYPES.
    """
    described = [{"dtype": str(array.dtype), "shape": list(array.shape)} for array in arrays]
    encoded = json.dumps({**header, "arrays": described}).encode()
    contents: list[Any] = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays]
    return [memoryview(LENGTH.pack(len(encoded)) + encoded), *contents]


def length_of_header(data: bytes) -> int:
    """The length that four bytes say.

    Raises:
        ValueError: they are no message.
    """
    (length,) = LENGTH.unpack(data)
    if not 0 < length <= MOST_HEADER_BYTES:
        raise ValueError(f"{data!r} where a message was to begin")
    return int(length)


def empty_arrays(header: Mapping[str, Any]) -> list[np.ndarray]:
    """Arrays to receive what follows a header.

    Raises:
        ValueError: it describes arrays that no message has.
    """
    made = []
    for described in header.get("arrays", []):
        shape = [int(length) for length in described["shape"]]
        if described["dtype"] not in DTYPES or min(shape, default=0) < 0 or math.prod(shape) > 2**32:
            raise ValueError(f"an array of {described}")
        made.append(np.empty(shape, dtype=described["dtype"]))
    return made


def main() -> None:
    """Serve the messages of stdin until it is closed, which ends this process at once, whatever it does."""
    reading, writing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(reading, messages), daemon=True).start()
    _send(writing, {"type": "hello", "protocol": PROTOCOL, "versions": versions()})
    model: LoadedModel | None = None
    while True:
        header, arrays = messages.get()
        try:
            if header["type"] == "load":
                model = load(header)
                _send(writing, {"type": "loaded", **model.facts})
            elif header["type"] == "images":
                _send(writing, {"type": "vectors"}, [_opened(model).images(arrays[0])])
            elif header["type"] == "texts":
                vectors, cut = _opened(model).texts(header["texts"])
                _send(writing, {"type": "vectors", "cut": cut}, [vectors])
            else:
                raise ValueError(f"no message is called {header['type']}")
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            _send(writing, {"type": "error", "what": what, "trace": traceback.format_exc()})


def versions() -> dict[str, str | None]:
    """Version of Python and of PACKAGES, without importing them; None: it is not installed."""
    found: dict[str, str | None] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _listen(file: int, messages: queue.SimpleQueue[Message]) -> None:
    """Queue the messages of a pipe; at its end, end this process, also in the middle of a batch."""
    try:
        while True:
            header = json.loads(_read(file, length_of_header(_read(file, LENGTH.size))))
            arrays = empty_arrays(header)
            for array in arrays:
                array.reshape(-1).view(np.uint8)[:] = np.frombuffer(_read(file, array.nbytes), np.uint8)
            messages.put((header, arrays))
    except EOFError:
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _read(file: int, count: int) -> bytes:
    pieces = []
    while count:
        piece = os.read(file, min(count, 2**20))
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _send(file: int, header: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    for piece in pack(header, arrays):
        while piece:
            piece = piece[os.write(file, piece) :]


def _opened(model: LoadedModel | None) -> LoadedModel:
    if model is None:
        raise ValueError("no model was loaded")
    return model


class LoadedModel:
    """A model of LAVIS, loaded.

    Args:
        model: of LAVIS.
        family: "clip", "blip" or "blip2".
        device: where it computes.
        facts: what the process that asked compares with what it expects.
    """

    def __init__(self, model: Any, family: str, device: str, facts: Mapping[str, Any]) -> None:
        import torch

        self.model, self.family, self.device = model.float().eval().to(device), family, device
        self.model.requires_grad_(False)
        if family == "blip2":
            self.model.maybe_autocast = lambda *_: nullcontext()  # float16 on a GPU otherwise
        self.facts = dict(facts)
        if family == "clip":
            self._tokens: Any = _ClipTokens(model)
        else:
            positions = (model.Qformer if family == "blip2" else model.text_encoder).config.max_position_embeddings
            self._tokens = _CutTokens(model.tokenizer, positions)
        model.tokenizer = self._tokens  # LAVIS pads texts, and does not cut them so that they fit
        mean, std = (np.array(facts[name], np.float32).reshape(1, 3, 1, 1) for name in ("mean", "std"))
        self._mean, self._std = torch.from_numpy(mean).to(device), torch.from_numpy(std).to(device)

    def images(self, images: np.ndarray) -> np.ndarray:
        """(B, D) vectors of (B, 3, S, S) uint8 images; (B, Q, D) of BLIP-2."""
        import torch

        pixels = (torch.from_numpy(images).to(self.device).float() / 255 - self._mean) / self._std
        with torch.inference_mode():
            if self.family == "clip":
                vectors = self.model.extract_features({"image": pixels})
            else:
                vectors = self.model.extract_features({"image": pixels}, mode="image").image_embeds_proj
                vectors = vectors[:, 0] if self.family == "blip" else vectors
        return _array(vectors)

    def texts(self, texts: list[str]) -> tuple[np.ndarray, list[int]]:
        """(T, D) vectors of texts, and the number of tokens by which each was cut."""
        import torch

        cut = [self._tokens.too_many(text) for text in texts]
        with torch.inference_mode():
            if self.family == "clip":
                vectors = self.model.extract_features({"text_input": texts})
            else:
                vectors = self.model.extract_features({"text_input": texts}, mode="text").text_embeds_proj[:, 0]
        return _array(vectors), cut


def _array(vectors: Any) -> np.ndarray:
    array: np.ndarray = vectors.float().cpu().numpy()
    return array


class _CutTokens:
    """The tokenizer of a model, which cuts a text at its end that has more tokens than the model has positions."""

    def __init__(self, tokenizer: Any, most: int) -> None:
        self._tokenizer, self._most = tokenizer, most

    def __call__(self, texts: list[str], **options: Any) -> Any:
        return self._tokenizer(texts, truncation=True, max_length=self._most, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def too_many(self, text: str) -> int:
        """Number of tokens that are cut."""
        count: int = len(self._tokenizer(text, truncation=False, verbose=False)["input_ids"])
        return max(0, count - self._most)


class _ClipTokens:
    """The token ids of CLIP as LAVIS's tokenizer gives them, except that a text that is cut keeps its end token."""

    def __init__(self, model: Any) -> None:
        from lavis.models.clip_models.tokenizer import _tokenizer

        self._tokenizer = _tokenizer
        self._most: int = model.context_length

    def __call__(self, texts: list[str]) -> Any:
        import torch

        begin, end = (self._tokenizer.encoder[word] for word in ("<start_of_text>", "<end_of_text>"))
        ids = torch.zeros(len(texts), self._most, dtype=torch.long)
        for row, text in zip(ids, texts):  # noqa: B905 -- its interpreter may be older
            own = [begin, *self._tokenizer.encode(text)[: self._most - 2], end]
            row[: len(own)] = torch.tensor(own)
        return ids

    def too_many(self, text: str) -> int:
        """Number of tokens that are cut."""
        count: int = len(self._tokenizer.encode(text)) + 2
        return max(count - self._most, 0)


def load(asked: Mapping[str, Any]) -> LoadedModel:
    """The model of a message "load".

    Args:
        asked: `family`; `name` and `kind` of the model in LAVIS, whose config is taken, with `changes`; `vit`: sizes
            of a smaller ViT in place of ViT-g; `files`: [path, prefix of its names] of state dicts, [] for random
            weights; `folder`: has bert-base-uncased; `torchscript`: whether the file is an archive of TorchScript that
            is known to be what was published; `image_size`, `device`.

    Raises:
        ValueError: the weights are not those of the model.
    """
    import torch

    if not _loads_torchvision(torch) and not _REGISTERED:
        _REGISTERED.append(_operators_of_torchvision(torch))
    os.chdir(asked["folder"])  # transformers takes a folder here of the name before it looks on the Hub
    import lavis.models  # noqa: F401 -- registers them
    from lavis.common.registry import registry
    from omegaconf import OmegaConf

    cls = registry.get_model_class(asked["name"])
    config = OmegaConf.load(cls.default_config_path(asked["kind"]))
    tensors = _tensors(asked, torch)
    if asked["family"] == "clip":
        model = _clip(tensors)
    else:
        settings = OmegaConf.merge(config.model, {"image_size": asked["image_size"], **_settings(asked)})
        model = (_blip if asked["family"] == "blip" else _blip2)(settings, asked, torch)
        if tensors is not None:
            _fill(model, tensors)
    facts = _preprocessing(config, asked["image_size"], registry)
    facts["dim"] = int(model.text_projection.shape[1] if asked["family"] == "clip" else model.text_proj.out_features)
    facts["takes"] = int(model.visual.image_size if asked["family"] == "clip" else asked["image_size"])
    facts["operators_registered"] = bool(_REGISTERED)
    return LoadedModel(model, asked["family"], asked["device"], facts)


def _settings(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What must differ from LAVIS's own config, so that it downloads nothing and computes in float32."""
    own = {"pretrained": None, "vit_precision": "fp32", "use_grad_checkpoint": False, "vit_grad_ckpt": False}
    changes = dict(asked["changes"])
    if "med_config_path" in changes:
        changes["med_config_path"] = os.path.join(asked["folder"], changes["med_config_path"])
    return {**own, **changes}


def _loads_torchvision(torch: Any) -> bool:
    """Whether the binary of torchvision fits this torch, found without importing torchvision."""
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec("torchvision")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for binary in (path for path in Path(folder).glob("_C.*") if path.suffix in (".so", ".pyd", ".dylib")):
            try:
                torch.ops.load_library(str(binary))
                return True
            except OSError:
                return False
    return False


def _operators_of_torchvision(torch: Any) -> Any:
    """Register the operators that the import of torchvision looks for; the rest of it is Python. LAVIS calls none."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _tensors(asked: Mapping[str, Any], torch: Any) -> dict[str, Any] | None:
    """The tensors of the files by the names of the model; None without files."""
    if not asked["files"]:
        return None
    found: dict[str, Any] = {}
    for path, prefix in asked["files"]:
        if asked["torchscript"]:  # its bytes are those of OpenAI
            read = torch.jit.load(path, map_location="cpu").state_dict()
        else:
            read = torch.load(path, map_location="cpu", weights_only=True)
        read = read.get("model", read)
        own = {f"{prefix}{name}": tensor for name, tensor in read.items() if isinstance(tensor, torch.Tensor)}
        found = {**own, **found}  # a ViT that was trained with the rest comes first
    return found


def _fill(model: Any, tensors: Mapping[str, Any]) -> None:
    """Give a model its weights; LAVIS itself leaves at random what is missing or has another shape."""
    own = model.state_dict()
    needed = [name for name, _ in model.named_parameters() if not name.startswith(UNREAD)]
    wrong = [f"{name} is missing" for name in needed if name not in tensors]
    for name in own:
        if name in tensors and tensors[name].shape != own[name].shape and not name.startswith(UNREAD):
            wrong.append(f"{name} has shape {list(tensors[name].shape)}, wanted {list(own[name].shape)}")
    if wrong:
        more = f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise ValueError(f"{len(wrong)} of {len(own)} tensors do not fit: {'; '.join(wrong[:8])}{more}")
    fitting = {name: tensors[name] for name in own if name in tensors and tensors[name].shape == own[name].shape}
    model.load_state_dict(fitting, strict=False)


def _clip(tensors: Mapping[str, Any] | None) -> Any:
    """The CLIP of OpenAI's state dict, which LAVIS rounds to float16, as it was published."""
    from lavis.models.clip_models.model import build_model_from_openai_state_dict

    if tensors is None:
        raise ValueError("CLIP takes its sizes from its weights")
    return build_model_from_openai_state_dict(dict(tensors))


def _blip(settings: Any, asked: Mapping[str, Any], torch: Any) -> Any:
    """The contrastive towers, which blip_image_text_matching has under the same names."""
    from lavis.models.blip_models.blip_feature_extractor import BlipFeatureExtractor

    return BlipFeatureExtractor.from_config(settings)


def _blip2(settings: Any, asked: Mapping[str, Any], torch: Any) -> Any:
    """The Q-Former and its ViT; both come with random weights, in place of those that LAVIS would download here."""
    import tempfile

    from lavis.models import clip_vit, eva_vit
    from lavis.models.blip2_models import blip2
    from lavis.models.blip2_models.blip2_qformer import Blip2Qformer

    blip2.BertLMHeadModel.from_pretrained = classmethod(lambda cls, name, config: cls(config))
    if asked["vit"]:
        eva_vit.VisionTransformer = _with(eva_vit.VisionTransformer, asked["vit"])
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save({}, file.name)  # in place of what it cannot do without
        settings.load_finetuned, settings.finetuned = True, file.name
        eva_vit.download_cached_file = clip_vit.download_cached_file = lambda url, **_: file.name
        return Blip2Qformer.from_config(settings)


def _with(cls: Callable[..., Any], sizes: Mapping[str, Any]) -> Callable[..., Any]:
    return lambda **given: cls(**{**given, **sizes})


def _preprocessing(config: Any, size: int, registry: Any) -> dict[str, Any]:
    """What LAVIS's own processor of images does."""
    name = config.preprocess.vis_processor.eval.name
    steps = registry.get_processor_class(name)(image_size=size).transform.transforms
    resize = next(step for step in steps if type(step).__name__ == "Resize")
    normalize = next(step for step in steps if type(step).__name__ == "Normalize")
    return {
        "processor": name,
        "resize": "square" if isinstance(resize.size, (tuple, list)) else "shortest-edge-crop",
        "interpolation": resize.interpolation.value,
        "mean": list(map(float, normalize.mean)),
        "std": list(map(float, normalize.std)),
    }


if __name__ == "__main__":
    main()
