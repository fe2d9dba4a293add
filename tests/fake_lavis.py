"""A worker that speaks the protocol of avs.features.lavis and has no LAVIS: the Python of a fake environment.

It is run as `python fake_lavis.py FOLDER ...`. FOLDER/how.json says what it does: `versions` and `protocol` of its
greeting; `facts` of its model; `limit` of texts, in words; and what goes wrong, as a kind and the numbers of the
messages, counted over all workers of the folder (0: the start).

An image's vector has the means of its parts; that of a text comes from its letters.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(sys.argv[1])
HOW = json.loads((FOLDER / "how.json").read_text())


def read(count: int) -> bytes:
    """So many bytes of stdin; its end ends this process."""
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


def receive() -> tuple[dict, list[np.ndarray]]:
    header = json.loads(read(int.from_bytes(read(4), "big")))
    arrays = []
    for one in header["arrays"]:
        dtype = np.dtype(one["dtype"])
        count = int(np.prod(one["shape"])) * dtype.itemsize
        arrays.append(np.frombuffer(read(count), dtype).reshape(one["shape"]))
    return header, arrays


def send(header: dict, *arrays: np.ndarray) -> None:
    described = [{"dtype": str(array.dtype), "shape": list(array.shape)} for array in arrays]
    data = json.dumps({**header, "arrays": described}).encode()
    for piece in (len(data).to_bytes(4, "big"), data, *(array.tobytes() for array in arrays)):
        while piece:
            piece = piece[os.write(1, piece) :]


def counted(name: str) -> int:
    """How often this was asked before, by all workers."""
    path = FOLDER / name
    with open(path, "ab") as file:
        file.write(b".")
    return path.stat().st_size - 1


def goes_wrong(number: int, vectors: np.ndarray | None = None) -> None:
    for kind in [kind for kind, numbers in HOW.get("wrong", {}).items() if number in numbers]:
        print(f"{kind} at message {number}", file=sys.stderr, flush=True)
        if kind == "dies":
            os._exit(7)
        elif kind == "is killed":
            os.kill(os.getpid(), 9)
        elif kind == "hangs":
            read(1)  # nothing more comes until its stdin is closed
        elif kind == "prints":
            print("Loading checkpoint shards")
            sys.stdout.flush()
        elif kind == "dies within":
            os.write(1, (100).to_bytes(4, "big") + b'{"type"')
            os._exit(7)
        elif kind == "nan" and vectors is not None:
            vectors[1, 0] = np.nan
        elif kind == "raises":
            send({"type": "error", "what": "RuntimeError: no room", "trace": "Traceback ..."})


def of_images(images: np.ndarray, dim: int) -> np.ndarray:
    size = int(np.prod(images.shape[1:])) // dim
    parts = images.astype(np.float32).reshape(len(images), dim, size).mean(axis=2) / 255 + 0.01
    if HOW.get("queries"):
        parts = np.stack([np.roll(parts, turn, axis=1) for turn in range(HOW["queries"])], axis=1)
    return parts / np.linalg.norm(parts, axis=-1, keepdims=True)


def of_texts(texts: list[str], dim: int) -> np.ndarray:
    limit = HOW.get("limit", 100)
    rows = []
    for text in texts:
        letters = "".join(text.split()[:limit])
        rows.append(np.bincount([ord(letter) % dim for letter in letters], minlength=dim) + 0.01)
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    counted("starts")
    goes_wrong(0)
    send({"type": "hello", "protocol": HOW["protocol"], "versions": HOW["versions"]})
    facts = HOW["facts"]
    while True:
        header, arrays = receive()
        number = counted("messages") + 1
        if header["type"] == "load":
            (FOLDER / "opening.json").write_text(json.dumps(header))
            goes_wrong(number)
            send({"type": "loaded", **facts})
        elif header["type"] == "images":
            vectors = of_images(arrays[0], facts["dim"])
            goes_wrong(number, vectors)
            send({"type": "vectors"}, vectors.astype(np.float32))
        else:
            vectors = of_texts(header["texts"], facts["dim"])
            cut = [max(0, len(text.split()) - HOW.get("limit", 100)) for text in header["texts"]]
            goes_wrong(number, vectors)
            send({"type": "vectors", "cut": cut}, vectors)


main()
