"""Parts of the benchmark `isolation`."""
