"""A whole cluster on this machine: real daemons as child processes on the loopback."""

from holdfast.local_cluster.daemon_process import DaemonProcess
from holdfast.local_cluster.layout import LocalLayout
from holdfast.local_cluster.local_cluster import LocalCluster, local

__all__ = ["DaemonProcess", "LocalCluster", "LocalLayout", "local"]
