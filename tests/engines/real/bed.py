"""What a case stands on: a real cluster of processes, and engines in their environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import holdfast

ROOT = Path(__file__).resolve().parents[3]
DRIVERS = Path(__file__).resolve().parent / "drivers"
RESULT = "HOLDFAST_RESULT "
"""First characters of the line of its output in which a driver says what it saw."""


class DriverError(Exception):
    """A driver ended without a result; the text is the end of what it said."""


@dataclass(slots=True)
class Bed:
    """A running cluster and where things lie."""

    cluster: holdfast.LocalCluster
    directory: Path
    """For files of cases: models, logs."""

    @property
    def reach(self) -> dict[str, Any]:
        """Settings by which an engine reaches the cluster as its first tenant."""
        return {
            "address": self.cluster.address,
            "tenant": self.cluster.tenant,
            "key": f"file:{self.cluster.directory / 'tenant.key'}",
        }

    def python(self, engine: str) -> Path:
        """The interpreter of an engine's environment."""
        return ROOT / "build" / "engines" / engine / "bin" / "python"

    def start(
        self, engine: str, driver: str, request: Mapping[str, Any], env: Mapping[str, str] = {}
    ) -> Driven:
        """Starts drivers/`driver`.py in the engine's environment, with `request` as JSON on its
        standard input."""
        log = self.directory / f"{driver}-{len(list(self.directory.glob('*.log')))}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [self.python(engine), "-u", DRIVERS / f"{driver}.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=self.directory,
                env={**_environment(), **env},
                text=True,
            )
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return Driven(process, log)

    def drive(
        self,
        engine: str,
        driver: str,
        request: Mapping[str, Any],
        *,
        timeout_s: float = 300.0,
        env: Mapping[str, str] = {},
    ) -> Any:
        """Runs a driver to its end and answers its result. Raises DriverError."""
        return self.start(engine, driver, request, env).result(timeout_s)


@dataclass(slots=True)
class Driven:
    """A driver under way. It reads further lines of JSON, if it wants some, with `say`."""

    process: subprocess.Popen[str]
    log: Path

    def say(self, request: Mapping[str, Any]) -> None:
        """Sends one more line of JSON."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def next_result(self) -> Any:
        """The next result that it tells; `result` has the bound on time. Raises DriverError."""
        assert self.process.stdout is not None
        with self.log.open("a") as log:
            for line in self.process.stdout:
                if line.startswith(RESULT):
                    return json.loads(line.removeprefix(RESULT))
                log.write(line)
        raise DriverError(f"status {self.process.wait()}: {self._tail()}")

    def result(self, timeout_s: float) -> Any:
        """Its last result, once it has ended. Raises DriverError."""
        try:
            out, _ = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise DriverError(f"no end within {timeout_s} s: {self._tail()}") from None
        with self.log.open("a") as log:
            log.write(out)
        told = [line for line in out.splitlines() if line.startswith(RESULT)]
        if not told:
            raise DriverError(f"status {self.process.returncode}: {self._tail()}")
        return json.loads(told[-1].removeprefix(RESULT))

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {
        **kept,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
