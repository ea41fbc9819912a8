"""Background work: one contract, one thread each, paced and pausable."""

from holdfast_datanode.workers.budget import Budget
from holdfast_datanode.workers.expire import ExpireWorker
from holdfast_datanode.workers.move import MoveWorker
from holdfast_datanode.workers.release import ReleaseWorker
from holdfast_datanode.workers.scrub import ScrubWorker
from holdfast_datanode.workers.worker import Worker
from holdfast_datanode.workers.worker_thread import WorkerState, WorkerStatus, WorkerThread

__all__ = [
    "Budget",
    "ExpireWorker",
    "MoveWorker",
    "ReleaseWorker",
    "ScrubWorker",
    "Worker",
    "WorkerState",
    "WorkerStatus",
    "WorkerThread",
]
