"""LMCache as it is deployed: its server in a process of its own, and its own client as the engine.

Reads a line of JSON at a time and answers each with one. Requests: `bench_l2` (LMCache's benchmark
of adapters), `server` (a fresh server in the place of the present one), `store`, `load`, `settle`
(until the server has stored what it was given) and `forget` (what it holds in its own memory).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lmcache.cli.commands.bench.server_bench.client import ServerBenchClient
from lmcache.cli.commands.bench.server_bench.config import BenchConfig

from holdfast.local_cluster.layout import free_ports
from holdfast.local_cluster.waiting import wait_for

RESULT = "HOLDFAST_RESULT "
LMCACHE = Path(sys.executable).with_name("lmcache")
CHUNK_TOKENS = 64
BLOCK_TOKENS = 16
BLOCKS = 1024
LAYERS = 4
SHAPE = f"(2,{BLOCKS},{BLOCK_TOKENS},8,64):float16:{LAYERS}"
PROMPT_TOKENS = 8 * CHUNK_TOKENS
QUIET = {**os.environ, "LMCACHE_TRACK_USAGE": "false", "LMCACHE_DISABLE_BANNER": "1"}
START_S = 120.0
SETTLE_S = 30.0


def adapter(params: dict[str, Any]) -> str:
    """The flag of `lmcache server` and `lmcache bench l2`."""
    return json.dumps(
        {
            "type": "native_plugin",
            "module_path": "holdfast.engines.lmcache",
            "class_name": "HoldfastPlugin",
            "adapter_params": params,
        }
    )


@dataclass(slots=True)
class Server:
    """`lmcache server` with the adapter, and LMCache's client at it."""

    process: subprocess.Popen[bytes]
    port: int
    http: str
    client: ServerBenchClient

    @classmethod
    def start(cls, params: dict[str, Any], number: int) -> Server:
        rpc, http, prometheus = free_ports(3)
        log = Path(f"lmcache-server-{number}.log").absolute()
        command = [
            *(str(LMCACHE), "server", "--host", "127.0.0.1", "--port", str(rpc)),
            *("--http-host", "127.0.0.1", "--http-port", str(http)),
            *("--prometheus-port", str(prometheus), "--supported-transfer-mode", "auto"),
            *("--chunk-size", str(CHUNK_TOKENS), "--l1-size-gb", "0.25"),
            *("--eviction-policy", "LRU", "--l2-adapter", adapter(params)),
        ]
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=QUIET)
        url = f"http://127.0.0.1:{http}"
        wait_for("LMCache's server", lambda: ended(process) or answers(url), START_S)
        config = BenchConfig(
            rpc_url=f"tcp://127.0.0.1:{rpc}",
            http_url=url,
            mode="cpu",
            transfer_mode="engine_driven",
            tp_size=1,
            use_mla=False,
            num_tokens=PROMPT_TOKENS,
            kvcache_shape_spec=SHAPE,
            num_blocks=BLOCKS,
            block_size=BLOCK_TOKENS,
        )
        client = ServerBenchClient(config, lambda line: print(line, file=sys.stderr))
        client.start()
        return cls(process, rpc, url, client)

    def stop(self) -> None:
        """As an operator does: SIGTERM."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(SETTLE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(SETTLE_S)

    def status(self) -> Any:
        with urllib.request.urlopen(f"{self.http}/status", timeout=5) as reply:
            return json.load(reply)

    def fill(self, seed: int) -> None:
        """New contents of the engine's whole KV cache."""
        torch.manual_seed(seed)
        for worker in self.client._workers:
            for tensor in worker.kv_caches.values():
                tensor.copy_(torch.randn(tensor.shape, dtype=torch.float32).to(tensor.dtype))

    def digests(self, request: Any, tokens: int) -> list[str]:
        """SHA-256 of each chunk of a prompt in the engine's KV cache."""
        told = []
        for chunk in range(tokens // CHUNK_TOKENS):
            first = request.block_offset + chunk * CHUNK_TOKENS // BLOCK_TOKENS
            digest = hashlib.sha256()
            for worker in self.client._workers:
                for tensor in worker.kv_caches.values():
                    blocks = tensor[:, first : first + CHUNK_TOKENS // BLOCK_TOKENS]
                    digest.update(blocks.contiguous().view(torch.uint8).numpy().tobytes())
            told.append(digest.hexdigest())
        return told


def ended(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"LMCache's server ended with status {process.returncode}")
    return False


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthcheck", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def bench_l2(request: dict[str, Any]) -> dict[str, Any]:
    """`lmcache bench l2` over the adapter, with its check of every byte."""
    command = [
        *(str(LMCACHE), "bench", "l2", "--l2-adapter", adapter(request["params"])),
        *("--num-keys", "16", "--in-flight", "4", "--data-size-kb", str(request["object_kib"])),
        *("--rounds", "3", "--no-skip-verify", "--lookup-max-hit-rate", "0.5"),
        *("--format", "json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, env=QUIET)
    print(done.stdout, done.stderr, file=sys.stderr)
    verified = re.search(r"All (\d+) keys data verified OK", done.stdout)
    found = re.search(r"^\{$.*?^\}$", done.stdout, re.MULTILINE | re.DOTALL)
    metrics = json.loads(found.group())["metrics"] if found else {}
    return {
        "status": done.returncode,
        "verified": int(verified.group(1)) if verified else 0,
        "operations": {
            one["operation"]: {"keys": one["total_keys"], "good": one["total_success"],
                               "mb_per_s": one["throughput_avg_mbps"]}
            for name, one in metrics.items() if name.startswith("op_")
        },
    }  # fmt: skip


def store(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    """Fills the engine's KV cache anew, and stores the prompts from there."""
    server.fill(request["seed"])
    digests, stored = {}, {}
    for prompt in request["prompts"]:
        one = server.client.create_request(prompt, f"store-{prompt}-{request['seed']}", "store")
        assert one is not None
        found = server.client.lookup(one).hit_chunks
        digests[prompt] = server.digests(one, one.num_full_tokens)
        result = server.client.store(one, 0, one.num_full_tokens)
        stored[prompt] = result is not None and result.succeeded
        server.client.end_session(one)
        assert found == 0, f"prompt {prompt} was there before"
    settle(server, request)
    return {"digests": digests, "stored": stored}


def settle(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    """Waits until the server has nothing left to store."""
    wait_for("the end of LMCache's stores", lambda: not under_way(server.status()), SETTLE_S)
    return {}


def forget(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    """Clears the server's first level; the second is asked from now on."""
    clear = urllib.request.Request(f"{server.http}/cache/clear", method="POST")
    with urllib.request.urlopen(clear, timeout=30) as reply:
        return {"status": reply.status}


def load(server: Server, request: dict[str, Any]) -> dict[str, Any]:
    """Fills the engine's KV cache with other bytes, and loads what is found of the prompts."""
    server.fill(request["seed"])
    digests, chunks, seconds, loaded = {}, {}, {}, {}
    for prompt in request["prompts"]:
        one = server.client.create_request(prompt, f"load-{prompt}-{request['seed']}", "load")
        assert one is not None
        looked = server.client.lookup(one)
        tokens = looked.hit_chunks * CHUNK_TOKENS
        result = server.client.retrieve(one, 0, tokens)
        loaded[prompt] = result is None or result.succeeded
        digests[prompt] = server.digests(one, tokens)
        chunks[prompt] = looked.hit_chunks
        seconds[prompt] = looked.latency_ms / 1000
        server.client.end_session(one)
    return {"digests": digests, "chunks": chunks, "lookup_s": seconds, "loaded": loaded}


def under_way(status: Any) -> bool:
    """Whether a store controller still has something to do."""
    if isinstance(status, dict):
        busy = status.get("pending_keys_count", 0) or status.get("in_flight_task_count", 0)
        return bool(busy) or any(under_way(value) for value in status.values())
    return isinstance(status, list) and any(under_way(value) for value in status)


def main() -> None:
    server: Server | None = None
    servers = 0
    try:
        for line in sys.stdin:
            request = json.loads(line)
            answer: Any = {}
            if request["do"] == "bench_l2":
                answer = bench_l2(request)
            elif request["do"] == "server":
                if server is not None:
                    server.stop()
                servers += 1
                server = Server.start(request["params"], servers)
                answer = {"port": server.port}
            elif server is not None:
                answer = {"store": store, "load": load, "forget": forget, "settle": settle}[
                    request["do"]
                ](server, request)
            print(RESULT + json.dumps(answer), flush=True)
    finally:
        if server is not None:
            server.stop()


if __name__ == "__main__":
    main()
