"""Looks into another process's memory, to damage what it stores."""

from __future__ import annotations

from pathlib import Path

WRITABLE = "rw"


def find_bytes(pid: int, wanted: bytes) -> list[int]:
    """Addresses in `pid`'s writable memory where `wanted` lies."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, permissions, *_ = line.split()
            first, _, last = span.partition("-")
            start, end = int(first, 16), int(last, 16)
            if not permissions.startswith(WRITABLE) or "[v" in line:
                continue
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except OSError:
                continue
            place = content.find(wanted)
            while place >= 0:
                found.append(start + place)
                place = content.find(wanted, place + 1)
    return found


def flip_bit(pid: int, address: int) -> None:
    """Changes one bit of the byte at `address`."""
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(address)
        byte = memory.read(1)[0]
        memory.seek(address)
        memory.write(bytes([byte ^ 0x10]))
