"""Replay of a randomised trial of money for released prisoners; see README.md."""
