"""What names a checkpoint: its contents, wherever it lies and whatever it is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.engines.checkpoint_settings import CheckpointSettings
from holdfast.engines.weights import weights_digest
from holdfast.errors import ConfigInvalid

_CONFIGS = ("config.json", "params.json", "hf_quant_config.json", "adapter_config.json")
_UNTOLD = frozenset(
    {"_name_or_path", "_attn_implementation_autoset", "base_model_name_or_path", "peft_version",
     "transformers_version"}
)  # fmt: skip
"""Of a checkpoint's configuration: where it came from and what wrote it."""
_NAMES = {"torch_dtype": "dtype"}
"""Older names of what is told."""
_BY_LENGTH = ("dynamic", "longrope", "su")
"""Forms of rotary embedding under which keys depend on the longest sequence."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as an engine names it."""

    name: str
    """A folder, a file, or a name at the hub, whose files a cache on this machine holds."""
    revision: str | None = None
    """Of the hub's."""
    cache: str | None = None
    """Folder of the hub's cache; None: the usual one."""

    def place(self) -> Path:
        """Its folder or file. Raises ConfigInvalid if it is not on this machine."""
        if Path(self.name).exists():
            return Path(self.name)
        try:
            # Installed where an engine is that knows the hub.
            from huggingface_hub import snapshot_download

            return Path(
                snapshot_download(
                    self.name, revision=self.revision, cache_dir=self.cache, local_files_only=True
                )
            )
        except Exception as error:  # trees of errors of its own; whatever it is: it is not here
            raise ConfigInvalid(
                f"the weights of {self.name} were not found on this machine ({error}): say where "
                "they lie with the setting weights, or name them with weights_id"
            ) from error


def weights_named(
    settings: CheckpointSettings,
    model: Checkpoint,
    drafts: Sequence[Checkpoint] = (),
    load_format: str | None = None,
    tokens_max: int | None = None,
) -> Callable[[], str]:
    """Answers a function that names the weights. It may take long, and raise OSError, ValueError
    and HoldfastError.

    drafts: of speculative decoding. load_format: the engine's name of how it reads weights.
    tokens_max: see `config_digest`. Raises ConfigInvalid if they are in no file here and the
    operator gave no name.
    """
    if settings.weights_id is not None:
        name = f"id:{settings.weights_id}"
        return lambda: name
    if load_format == "dummy":
        raise ConfigInvalid(
            "weights of this engine are made up (load format dummy) and are in no file: name them "
            "with the setting weights_id"
        )
    places = [settings.weights or model.place()]
    places += [draft.place() for draft in drafts if draft != model]
    return lambda: ",".join(checkpoint_digest(place, tokens_max) for place in places)


def checkpoint_digest(place: Path, tokens_max: int | None = None) -> str:
    """SHA-256 over the weights in `place` and what it says of its model, hexadecimal.

    See `weights_digest` for its errors and how long it takes; ValueError for a configuration that
    cannot be read.
    """
    both = f"{weights_digest(place)} {config_digest(place, tokens_max)}"
    return hashlib.sha256(both.encode()).hexdigest()


def config_digest(place: Path, tokens_max: int | None = None) -> str:
    """SHA-256 of what a checkpoint says of its model: equal weights give other keys and values
    with other rotary embeddings, say. "none" where it says nothing.

    tokens_max: longest sequence, as the operator set it; counts where keys depend on it.
    """
    told = {
        path.name: json.loads(path.read_text())
        for path in (place / name for name in _CONFIGS)
        if path.is_file()
    }
    if not told:
        return "none"
    length = tokens_max if rotates_by_length(told) else None
    return told_digest({**told, "tokens_max": length})


def told_digest(told: Any) -> str:
    """SHA-256 of a configuration, without what it tells of where it came from."""
    text = json.dumps(_essence(told), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def rotates_by_length(told: Any) -> bool:
    """Whether keys depend on the longest sequence, by a configuration as JSON has it."""
    if isinstance(told, Mapping):
        forms = (told.get("type"), told.get("rope_type"))
        return any(form in _BY_LENGTH for form in forms) or any(
            rotates_by_length(value) for value in told.values()
        )
    return isinstance(told, list) and any(rotates_by_length(value) for value in told)


def _essence(told: Any) -> Any:
    if isinstance(told, Mapping):
        return {
            _NAMES.get(name, name): _essence(value)
            for name, value in told.items()
            if name not in _UNTOLD
        }
    return [_essence(value) for value in told] if isinstance(told, list) else told
