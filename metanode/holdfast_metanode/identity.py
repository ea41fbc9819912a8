"""Which member a data folder belongs to."""

from __future__ import annotations

import json
import os
from pathlib import Path

from holdfast_kvstore.errors import ConfigInvalid

_FILE = "member.json"
_VERSION = 1


def claim(folder: Path, member_id: int) -> None:
    """Marks `folder` as this member's. Raises ConfigInvalid if it is another's."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FILE
    if path.exists():
        try:
            found = json.loads(path.read_text())
            version, owner = found["version"], found["member_id"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigInvalid(f"{path} is not readable ({error}): restore it") from error
        if version != _VERSION:
            raise ConfigInvalid(f"{path} has version {version}, this build knows {_VERSION}")
        if owner != member_id:
            raise ConfigInvalid(
                f"{folder} belongs to member {owner}, the configuration says {member_id}: "
                "correct member.id or member.data"
            )
        return
    partial = path.with_suffix(".partial")
    with partial.open("w") as file:
        json.dump({"version": _VERSION, "member_id": member_id}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
