"""The data node's daemon: joins the cluster, follows its map, and runs the native node.

Payload never passes through this package; it says what the native half serves, and when.
"""

from holdfast_datanode.config import DataNodeConfig, load_config
from holdfast_datanode.daemon import DataNode

__all__ = ["DataNode", "DataNodeConfig", "load_config"]
