"""Activities: ports in, ports out; grouped by the privilege they need.

| module | privilege |
|---|---|
| `ledger`, `closing`, `revise` | records, log, signing key |
| `provision`, `reap` | creates and removes environments |
| `inspect`, `proving` | compares environments with decisions, proves them again |
| `warm` | keeps environments that are proven in advance, and claims them |
| `enforce` | freezes environments, revokes credentials |
| `observe`, `together`, `damage` | reads recorded segments; says which it cannot |
| `site` | what this installation is: recorder, load source, cluster addresses |
| `filing` | what is wrong with an application; that it was filed |
| `examining` | would a system do: by its shape, and by the rules about objects? |
| `overlap` | do a trial's exceptions conflict with those of others? |
| `times` | of which times evidence is known to be whole |
| `keeping` | the ports the record is kept through |
| `asking` | what is asked of everything that was recorded |
| `reproducing` | the figures of a proposal, computed again |
| `boundary` | turns our errors into Temporal's, once |
"""
