"""What the benchmark `ingest` is made of: programs, a sender, and what is sent to."""
