"""Replay of credit applications under rules on explanation and disparity; README.md."""
