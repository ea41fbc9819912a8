"""Metadata members that answer what a test says, over real gRPC on the loopback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import msgpack

from holdfast_kvstore.errors import HoldfastError, to_wire

Answer = Callable[[str, bytes, grpc.ServicerContext], bytes]


class FakeMember(grpc.GenericRpcHandler):
    """One member; `answer(method, body, context)` makes every unary answer."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[str] = []
        self._answer = answer
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        name = details.method.rpartition("/")[2]

        def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
            self.asked.append(name)
            try:
                return self._answer(name, body, context)
            except HoldfastError as error:
                code, message, more = to_wire(error)
                context.set_trailing_metadata(
                    (("holdfast-code", code), ("holdfast-details-bin", msgpack.packb(more)))
                )
                context.abort(getattr(grpc.StatusCode, error.grpc_status), message)
                raise

        return grpc.unary_unary_rpc_method_handler(handle)

    def stop(self) -> None:
        self._server.stop(0).wait(5)
