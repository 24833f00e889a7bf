"""How far do the engines that judge rules keep to the specification of CEL?

The public conformance suite of the Common Expression Language (Go module
`cel.dev/expr`, pinned in `go.mod`, fetched when it is run) against the per-span engine,
and against what expressions become in SQL.

| module | question |
|---|---|
| `suite` | which tests are there? |
| `values` | are an expected and a given value the same? |
| `engine` | what does the per-span engine make of a test? |
| `sql` | what does the SQL of a test give, with DuckDB and chDB? |
| `report` | how many tests pass, and which do not, and why? |
"""
