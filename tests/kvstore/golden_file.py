"""Golden files: bytes that this and later versions must keep producing or reading.

`HOLDFAST_UPDATE_GOLDEN=1 pytest tests/kvstore` writes them anew.
"""

import json
import os
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent.parent / "golden"


def golden(name: str, made: dict[str, Any]) -> dict[str, Any]:
    """The content of tests/golden/`name`, which `made` should equal."""
    path = GOLDEN / name
    if os.environ.get("HOLDFAST_UPDATE_GOLDEN") == "1":
        path.write_text(json.dumps(made, indent=2) + "\n")
    content: dict[str, Any] = json.loads(path.read_text())
    return content
