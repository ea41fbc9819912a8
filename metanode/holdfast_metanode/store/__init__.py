"""The embedded ordered store below the state machine: one seam, LMDB and an in-memory twin."""

from holdfast_metanode.store.lmdb_store import LmdbStore
from holdfast_metanode.store.memory_store import MemoryDisk, MemoryStore
from holdfast_metanode.store.seam import Checkpoint, Reader, Store, Writer

__all__ = [
    "Checkpoint",
    "LmdbStore",
    "MemoryDisk",
    "MemoryStore",
    "Reader",
    "Store",
    "Writer",
]
