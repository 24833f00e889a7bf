module regulatory-sandbox.test/verifier

go 1.25.0

require (
	golang.org/x/mod v0.37.0
	google.golang.org/protobuf v1.36.11
)
