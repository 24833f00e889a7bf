"""What can be proven afterwards, by someone who does not trust us.

Import the modules themselves; this package imports nothing, so that the verifier
(`python -m sandbox.evidence verify PATH`) needs only the standard library and
`cryptography`.

| module | what it does |
|---|---|
| `merkle` | RFC 6962 tree hashes and proofs |
| `hashtree` | roots and proofs of a long log from a few stored hashes |
| `vkey` | public keys of logs and witnesses; which are refused |
| `note` | C2SP signed notes and checkpoints |
| `attest` | in-toto statements in DSSE envelopes |
| `witness` | cosignatures: the log only ever grew (C2SP tlog-cosignature) |
| `keys` | the history of the log's key: which counts at which place |
| `order` | whether a trial's entries tell one unbroken procedure |
| `view` | a log as one checkpoint shows it |
| `cosignatures` | who else has seen the log |
| `timestamp` | checks an RFC 3161 token |
| `der`, `cms` | read what such a token is written in |
| `stamps` | the timestamps of a bundle, weighed |
| `stamping` | has a checkpoint stamped |
| `rotation` | puts a new key in force |
| `log` | signs checkpoints of the transparency log |
| `log_check` | recomputes every hash stored of the log |
| `seal` | turns a closed segment into sealed evidence |
| `refusals` | refused requests as entries of the log |
| `bundle` | writes a trial's evidence as one folder |
| `place` | where it is written: one at a time, and whole |
| `layout` | how the files of such a folder are written |
| `verify` | checks such a folder, offline |
| `unseal` | checks one segment of it against its statement and the log |
| `walk` | reads raw segments once more, for the verifier alone |
| `damaged` | segments that are gone on without |
| `erased` | what the log says was erased, for the verifier |
| `retention` | until when each segment is kept, and why |
| `hold` | evidence that must not be erased |
| `subject` | keys of data subjects; destroying one is the erasure |
| `expire` | erases what is due: the entry first, then the bytes |
| `steps` | a check in steps, said in words; both verifiers run on it |
| `disclose` | one request with its proof, and the check of that file |
| `tiles` | the log as static files (C2SP tlog-tiles) |
| `objects` | what every store of objects keeps to |
"""
