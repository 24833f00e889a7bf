// Command verifier checks an evidence bundle with code of its own.
//
// It is the second opinion on sandbox/evidence/verify.py: it shares no code with it, and
// leaves the hard parts to libraries of others: signed notes and Merkle proofs to
// golang.org/x/mod/sumdb (which checks Go's own checksum database), the protobuf wire
// format to google.golang.org/protobuf, Ed25519 to Go's standard library.
//
// It does not check RFC 3161 tokens beyond the checkpoint they are of, nor whether the
// entries tell an unbroken procedure.
package main

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
)

type vkeys []string

func (v *vkeys) String() string        { return strings.Join(*v, " ") }
func (v *vkeys) Set(text string) error { *v = append(*v, text); return nil }

func main() {
	key := flag.String("key", "", "public key of the log that is trusted, in hexadecimal")
	var witnesses vkeys
	flag.Var(&witnesses, "witness", "verifier key of a trusted witness; may be repeated")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: verifier [-key HEX] [-witness VKEY] BUNDLE")
		os.Exit(2)
	}
	trusted, err := hex.DecodeString(*key)
	if err != nil {
		fmt.Fprintln(os.Stderr, "-key:", err)
		os.Exit(2)
	}
	found, err := verify(flag.Arg(0), trusted, witnesses)
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT VERIFIED:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
