"""A proxy that cuts connections where a test says."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)
PIECE_BYTES = 64 << 10


class TcpProxy:
    """Passes bytes on in both directions; resets a connection after so many bytes of one.

    `cut_after_down`: bytes from the server to the client, `cut_after_up` the other way; None:
    never. Each cut applies to every connection until it is set to None again.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.cut_after_down: int | None = None
        self.cut_after_up: int | None = None
        self.cuts = 0
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._stopping:
            if not select.select([self._listener], [], [], 0.2)[0]:
                continue
            client, _ = self._listener.accept()
            thread = threading.Thread(target=self._pass, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, 5)
        except OSError:
            client.close()
            return
        passed = {client: 0, server: 0}
        with contextlib.suppress(OSError):
            while not self._stopping:
                ready, _, _ = select.select([client, server], [], [], 0.2)
                for source in ready:
                    piece = source.recv(PIECE_BYTES)
                    if not piece:
                        raise ConnectionError
                    other, limit = (
                        (server, self.cut_after_up)
                        if source is client
                        else (client, self.cut_after_down)
                    )
                    passed[source] += len(piece)
                    if limit is not None and passed[source] > limit:
                        self.cuts += 1
                        other.sendall(piece[: len(piece) // 2])
                        raise ConnectionError
                    other.sendall(piece)
        for end in (client, server):
            # Lingering for no time sends a reset, not an orderly end.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.close()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
