"""`vllm serve` and a client that speaks HTTP with it; answers a part of vllm_engine's lines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from threading import Event
from typing import Any

RESULT = "HOLDFAST_RESULT "
START_S = 240.0
ANSWER_S = 120.0
STOP_S = 40.0


class Server:
    """The process of `vllm serve`, from its start to its end."""

    def __init__(self, model: str, arguments: list[str]) -> None:
        """arguments: of the command, behind the model."""
        self._model = model
        self._port = _free_port()
        command = Path(sys.executable).parent / "vllm"
        place = ("--host", "127.0.0.1", "--port", str(self._port))
        self._process = subprocess.Popen(
            [command, "serve", model, *place, *arguments], stdin=subprocess.DEVNULL, stdout=2
        )

    def wait_until_ready(self) -> None:
        """Raises RuntimeError if it ends before, or takes too long."""
        end, pause = time.monotonic() + START_S, Event()
        while time.monotonic() < end:
            if self._process.poll() is not None:
                raise RuntimeError(f"vllm serve ended with {self._process.returncode}")
            try:
                self._get("/health")
            except (urllib.error.URLError, ConnectionError):
                pause.wait(0.5)
            else:
                return
        raise RuntimeError(f"vllm serve was not ready after {START_S} s")

    def complete(self, prompt: dict[str, Any], max_tokens: int) -> dict[str, Any]:
        """One completion of token ids."""
        body = {
            "model": self._model,
            "prompt": prompt["tokens"],
            "max_tokens": max_tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "logprobs": 1,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            **({"cache_salt": prompt["salt"]} if prompt.get("salt") else {}),
        }
        request = urllib.request.Request(
            f"{self._url}/v1/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        began = time.monotonic()
        with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
            (choice,) = json.load(answer)["choices"]
        return {
            "tokens": choice["token_ids"],
            "logprobs": choice["logprobs"]["token_logprobs"],
            "first_s": time.monotonic() - began,
            "gap_s_max": 0.0,
        }

    def counters(self) -> dict[str, float]:
        """Every sample of its Prometheus endpoint, over all labels."""
        sums: dict[str, float] = {}
        for line in self._get("/metrics").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it does not end."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(self._url + path, timeout=ANSWER_S) as answer:
            return str(answer.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _arguments(spec: dict[str, Any]) -> list[str]:
    """Flags of the command for keyword arguments of `vllm.LLM`."""
    flags: list[str] = []
    for name, value in spec.items():
        flag = name.replace("_", "-")
        if name in ("model", "disable_log_stats"):
            continue
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return flags


def main() -> None:
    """Answers lines until the end of the input."""

    def tell(value: dict[str, Any]) -> None:
        print(RESULT + json.dumps(value), flush=True)

    spec = json.loads(sys.stdin.readline())["spec"]
    server = Server(spec["model"], _arguments(spec))
    try:
        server.wait_until_ready()
        tell({"ready": True})
        for line in sys.stdin:
            request = json.loads(line)
            if request["do"] == "generate":
                prompts = request["prompts"]
                outputs = [server.complete(each, request["max_tokens"]) for each in prompts]
                tell({"id": request["id"], "outputs": outputs})
            elif request["do"] == "counters":
                tell({"counters": server.counters()})
    finally:
        server.stop()


if __name__ == "__main__":
    os.environ.pop("VLLM_ENABLE_V1_MULTIPROCESSING", None)
    main()
