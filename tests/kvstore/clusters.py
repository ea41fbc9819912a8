"""Random clusters for tests of maps and placement. Everything follows from a seed."""

from dataclasses import dataclass, replace

import numpy as np

from holdfast_kvstore import Node, NodeState


@dataclass(frozen=True)
class Shape:
    """What random nodes look like."""

    racks: int = 0
    hosts: int = 0
    weight_max: int = 1


def random_nodes(seed: int, count: int, shape: Shape, first_id: int = 1) -> list[Node]:
    """`count` nodes; 0 racks or hosts leaves the label empty."""
    random = np.random.default_rng(seed)
    return [
        Node(
            id=first_id + number,
            incarnation=1,
            tcp_address=f"127.0.0.1:{7000 + number}",
            host=f"host-{random.integers(shape.hosts)}" if shape.hosts else "",
            rack=f"rack-{random.integers(shape.racks)}" if shape.racks else "",
            weight=int(random.integers(1, shape.weight_max + 1)),
        )
        for number in range(count)
    ]


def even_nodes(count: int, racks: int, weight: int = 10) -> list[Node]:
    """`count` nodes of one weight, dealt out to racks in turn."""
    return [
        Node(
            id=number + 1,
            incarnation=1,
            tcp_address=f"127.0.0.1:{7000 + number}",
            host=f"host-{number}",
            rack=f"rack-{number % racks}",
            weight=weight,
        )
        for number in range(count)
    ]


def with_state(nodes: list[Node], index: int, state: NodeState) -> list[Node]:
    """`nodes` with one of them in another state."""
    return [replace(n, state=state) if i == index else n for i, n in enumerate(nodes)]
