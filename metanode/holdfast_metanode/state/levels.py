"""Cluster levels: what commands and the state mean from which one on. All members agree on it."""

HANDOVER = 2
"""UndrainNode; what a removed node had yet to take over is taken over by the owners that are left.
"""
SHARDS = 3
"""Spaces of ec:k+m and wide rows; `previous` names who stood at each place, in the places' order.
"""
LEVEL_MAX = SHARDS
"""Highest level that this build supports; commands carry the level that they need."""
