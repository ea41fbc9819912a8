"""Replays an inference request trace through a real cluster, with nodes dying on the way."""
