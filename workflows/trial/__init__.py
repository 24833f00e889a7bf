"""The whole case: one entity workflow per trial, months long, continue-as-new.

| module | what it holds |
|---|---|
| `program` | the workflow: what happens in each state, what people may do |
| `acts` | what people may do to a trial, and what comes of it |
| `stages` | each state: what it waits for, and what comes next |
| `journal` | record first, then take effect; answers given before are given again |
| `peers` | the abandoned peers (environment, monitor) and how they are told |
"""

from workflows.trial.program import TrialWorkflow

__all__ = ["TrialWorkflow"]
