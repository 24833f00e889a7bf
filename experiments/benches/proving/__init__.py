"""Parts of the benchmark `proof`."""
