"""What can be asked of the recorded spans, and how the answers are shown and handed on.

| module | noun |
|---|---|
| `waterfall` | the rows of a trace, as a tree in time |
"""
