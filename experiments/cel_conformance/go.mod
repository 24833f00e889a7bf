module conformance

go 1.25

require cel.dev/expr v0.26.0
