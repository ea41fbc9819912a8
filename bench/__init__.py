"""Measures Holdfast through its public API, as ratios against limits of the same run."""
