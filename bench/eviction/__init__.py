"""Hit rates of the engine's eviction on a whole trace, beside published policies."""

from bench.eviction.hit_rates import measure

__all__ = ["measure"]
