"""The regulatory logic; knows nothing of Temporal.

Rooms in flow order; a later room may import an earlier one, never the reverse:

| room | question it answers |
|---|---|
| `procedure` | Is the application complete? Who decides? What state is the case in? |
| `rules` | Which rules are in force for this trial? Is this fact in order? |
| `environment` | What must exist in Kubernetes so that they hold, and does it hold? |
| `conformity` | Would the cluster take a system, and is a rule against it? |
| `examination` | Does a cluster isolate at all, and from when on? |
| `recorder` | What happened, byte for byte? |
| `monitor` | Does something happening now breach a guardrail? |
| `evidence` | What can be proven afterwards, by someone who does not trust us? |
| `query` | Which spans were recorded, of all, that are like this? |
| `findings` | What does the evidence say about the goals, and how surely? |
| `revision` | How should the rule change, and what would that have done? |
| `report` | What does a person see of the whole trial? |

Below the rooms: `model` (records), `errors`, `ports` (what rooms need from outside),
`settings`. Beside them: `adapters` (the only I/O), `local` (servers of this machine),
`testing` (public fakes of every port).
"""

__version__ = "0.1.0"
