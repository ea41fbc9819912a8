"""Generates the Python code of the gRPC contracts: a hatch build hook, and `make proto`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTO_FOLDER = Path(__file__).resolve().parent


def generate(proto_folder: Path) -> list[Path]:
    """Writes `*_pb2.py`, `*_pb2_grpc.py` and their type stubs beside each contract.

    Returns the contracts. Raises RuntimeError with protoc's own words when one does not compile,
    or when a plugin of protoc is not installed.
    """
    contracts = sorted((proto_folder / "holdfast_proto").glob("*.proto"))
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--plugin=protoc-gen-mypy={_plugin('protoc-gen-mypy')}",
        f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}",
        "--proto_path=.",
        "--python_out=.",
        "--grpc_python_out=.",
        "--mypy_out=quiet:.",
        "--mypy_grpc_out=quiet:.",
        *(str(contract.relative_to(proto_folder)) for contract in contracts),
    ]
    ended = subprocess.run(command, cwd=proto_folder, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"protoc ended with status {ended.returncode}:\n{ended.stderr}")
    return contracts


def _plugin(name: str) -> str:
    # PATH first: in an isolated build the plugin is there, not beside the interpreter.
    folders = [os.environ.get("PATH", ""), str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        raise RuntimeError(f"{name} is missing: install mypy-protobuf into this environment")
    return found


class ProtoBuildHook(BuildHookInterface[Any]):
    """Runs `generate` before a wheel (also an editable one) is put together."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; a source archive carries the contracts only."""
        if self.target_name == "wheel":
            generate(Path(self.root) / "proto")


if __name__ == "__main__":
    for contract in generate(PROTO_FOLDER):
        print(f"generated from {contract.relative_to(PROTO_FOLDER)}")
