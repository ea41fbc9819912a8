"""What a case stands on: a real cluster of processes, and engines in their environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import holdfast
from tests.engines.real.driven import Driven, DriverError
from tests.engines.real.fleet import Fleet

__all__ = ["Bed", "Driven", "DriverError"]

ROOT = Path(__file__).resolve().parents[3]
DRIVERS = Path(__file__).resolve().parent / "drivers"
PROCESSES_MAX = 16
"""Engine processes of a whole run: each costs most of a minute."""


@dataclass(slots=True)
class Bed:
    """A running cluster and where things lie."""

    cluster: holdfast.LocalCluster
    directory: Path
    """For files of cases: models, logs."""
    started: list[Driven] = field(default_factory=list)
    """Every driver of this run."""
    fleet: Fleet = field(init=False)
    """The vLLM engines that cases share."""

    def __post_init__(self) -> None:
        self.fleet = Fleet(self)

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
        standard input. Raises DriverError once a run has started as many as it may."""
        if len(self.started) >= PROCESSES_MAX:
            raise DriverError(f"{PROCESSES_MAX} engine processes were started, no more are allowed")
        log = self.directory / f"{len(self.started) + 1:02}-{driver}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [self.python(engine), "-u", DRIVERS / f"{driver}.py"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=self.directory,
                env={**_environment(self.python(engine).parent), **env},
                text=True,
            )
        driven = Driven(process, log)
        self.started.append(driven)
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return driven

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

    def close(self) -> None:
        """Ends every driver that still runs; the cluster is its owner's."""
        for driven in self.started:
            driven.end_input()
        for driven in self.started:
            driven.close()
        self.fleet.close()


def _environment(engine_bin: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        # What is compiled here is a few helpers: it takes longer than they ever save.
        "TORCHDYNAMO_DISABLE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "PATH": f"{engine_bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
