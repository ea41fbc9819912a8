"""A digest of a checkpoint's contents: equal weights, equal digest, wherever they lie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from holdfast.errors import NotFound

_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".npz")
_BLOB = re.compile(r"^[0-9a-f]{64}$")
_READ_BYTES = 8 << 20
_FILES_AT_ONCE = 4


def weights_digest(path: Path) -> str:
    """SHA-256 over the names and contents of the weight files in `path`, hexadecimal.

    path: a folder, or one file. Files that are links to blobs named by the SHA-256 of their
    contents, as caches of model hubs hold them, are not read. Raises NotFound when there is no
    weight file, and OSError for one that cannot be read. Takes as long as reading all of them.
    """
    files = _weight_files(path)
    if not files:
        raise NotFound(
            f"no weight file ({', '.join(_SUFFIXES)}) in {path}: name the folder of the checkpoint"
        )
    with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="holdfast-digest") as pool:
        digests = list(pool.map(_file_digest, files))
    whole = hashlib.sha256()
    for file, digest in zip(files, digests, strict=True):
        whole.update(f"{file.name}\0{digest}\n".encode())
    return whole.hexdigest()


def _weight_files(path: Path) -> Sequence[Path]:
    if path.is_file():
        return [path]
    found = [file for file in path.glob("*") if file.suffix in _SUFFIXES and file.is_file()]
    return sorted(found, key=lambda file: file.name)


def _file_digest(file: Path) -> str:
    blob = file.resolve().name
    if file.is_symlink() and _BLOB.match(blob):
        return blob
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_READ_BYTES))
    with file.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()
