"""Benchmarks: each prints one JSON object with figures, bars and hardware."""
