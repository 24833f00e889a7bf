"""What does admission refuse, and is each refusal its own?

Attacks on a trial's namespace, each with a control that must be let through: the public
fixtures of Pod Security (a Go module, pinned, fetched when it is run), and one-field
mutations and requests of our own for every line of what admission refuses. All are dry
runs by a person to whom Kubernetes grants everything but the right to enforce.

| module | question |
|---|---|
| `lines` | what is refused? |
| `attempt` | what is an attack, and when does it count? |
| `mutations` | which field of a pod is under attack? |
| `pods` | how are pods and their makers attacked by it? |
| `objects` | which other objects are attacks? |
| `acts` | which requests are? |
| `corpus` | which attacks are there, all together? |
| `fixtures` | which fixtures of Pod Security are there? |
| `runs` | what comes of a command in a hostile pod? |
"""
