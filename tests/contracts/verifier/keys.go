package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	changeType    = "application/vnd.regulatory-sandbox.key-change+json"
	statementType = "application/vnd.in-toto+json"
)

var strict = base64.StdEncoding.Strict()

type checkpoint struct {
	size int64
	root tlog.Hash
}

type logKey struct {
	since int64
	key   ed25519.PublicKey
}

type change struct {
	place int64
	entry json.RawMessage
	proof []string
}

// history is the keys of a log, each in force from a place on.
type history struct {
	name    string
	keys    []logKey
	changes []change
}

func (h *history) latest() ed25519.PublicKey { return h.keys[len(h.keys)-1].key }

func (h *history) at(index int64) ed25519.PublicKey {
	found := h.keys[0].key
	for _, item := range h.keys {
		if item.since <= index {
			found = item.key
		}
	}
	return found
}

func (h *history) knows(key []byte) bool {
	for _, item := range h.keys {
		if bytes.Equal(item.key, key) {
			return true
		}
	}
	return false
}

// readHistory reads keys.json, and checks that every key is handed on by the one before.
func readHistory(data []byte) (*history, error) {
	var said struct {
		Algorithm string `json:"algorithm"`
		Name      string `json:"name"`
		Keys      []struct {
			PublicKey string `json:"public_key"`
			Since     int64  `json:"since"`
			Change    *struct {
				Entry json.RawMessage `json:"entry"`
				Proof []string        `json:"proof"`
			} `json:"change"`
		} `json:"keys"`
	}
	if err := decode(data, &said); err != nil {
		return nil, err
	}
	if said.Algorithm != "ed25519" || len(said.Keys) == 0 {
		return nil, errors.New("there is no Ed25519 key")
	}
	h := &history{name: said.Name}
	for number, item := range said.Keys {
		key, err := hex.DecodeString(item.PublicKey)
		if err != nil || len(key) != ed25519.PublicKeySize || h.knows(key) {
			return nil, fmt.Errorf("key %d is none, or comes back", number+1)
		}
		if (item.Change == nil) != (number == 0) || (number == 0 && item.Since != 0) {
			return nil, errors.New("every key but the first has a change, and a place")
		}
		if item.Change != nil {
			if err := h.checkChange(item.Change.Entry, item.PublicKey); err != nil {
				return nil, fmt.Errorf("change %d: %w", number, err)
			}
			if last := h.keys[number-1]; item.Since < last.since || (item.Since == last.since && number > 1) {
				return nil, fmt.Errorf("change %d is out of order", number)
			}
			h.changes = append(h.changes, change{item.Since, item.Change.Entry, item.Change.Proof})
		}
		h.keys = append(h.keys, logKey{item.Since, key})
	}
	return h, nil
}

func (h *history) checkChange(raw json.RawMessage, key string) error {
	// Fields in the order of canonical JSON, so that it is what was signed.
	type words struct {
		Name      string `json:"name"`
		Number    int    `json:"number"`
		Previous  string `json:"previous"`
		PublicKey string `json:"public_key"`
	}
	var entry struct {
		Kind       string `json:"kind"`
		EntryID    string `json:"entry_id"`
		TrialID    string `json:"trial_id"`
		RecordedAt string `json:"recorded_at"`
		Body       struct {
			words
			Signatures struct {
				New      string `json:"new"`
				Previous string `json:"previous"`
			} `json:"signatures"`
		} `json:"body"`
	}
	if err := decode(raw, &entry); err != nil {
		return err
	}
	number := len(h.keys) + 1
	wanted := words{h.name, number, hex.EncodeToString(h.latest()), key}
	id := fmt.Sprintf("log/keys/%d", number)
	if entry.Kind != "key" || entry.TrialID != "log/keys" || entry.EntryID != id || entry.Body.words != wanted {
		return errors.New("it does not follow the key before it")
	}
	payload, err := compact(wanted)
	if err != nil {
		return err
	}
	signed := pae(changeType, payload)
	next, err := hex.DecodeString(key)
	if err != nil {
		return err
	}
	for _, by := range []struct {
		key       ed25519.PublicKey
		signature string
	}{{h.latest(), entry.Body.Signatures.Previous}, {next, entry.Body.Signatures.New}} {
		signature, err := strict.DecodeString(by.signature)
		if err != nil || !ed25519.Verify(by.key, signed, signature) {
			return errors.New("it is not signed by both keys")
		}
	}
	return nil
}

// open checks a checkpoint with the key in force at its last entry.
func (h *history) open(data []byte) (checkpoint, string, error) {
	text, _, found := strings.Cut(string(data), "\n\n")
	parts := strings.Split(text, "\n")
	if !found || len(parts) < 3 || parts[0] != h.name {
		return checkpoint{}, "", errors.New("it is not a checkpoint of this log")
	}
	size, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != parts[1] {
		return checkpoint{}, "", errors.New("its size cannot be read")
	}
	root, err := strict.DecodeString(parts[2])
	if err != nil || len(root) != 32 {
		return checkpoint{}, "", errors.New("its root cannot be read")
	}
	vkey, err := note.NewEd25519VerifierKey(h.name, h.at(size-1))
	if err != nil {
		return checkpoint{}, "", err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return checkpoint{}, "", err
	}
	opened, err := note.Open(data, note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, "", err
	}
	if opened.Text != text+"\n" {
		return checkpoint{}, "", errors.New("its text is not what was read of it")
	}
	return checkpoint{size, tlog.Hash(root)}, opened.Text, nil
}

// witnesses are the ones that are trusted, as verifiers of cosignatures.
type witnesses struct {
	note.Verifiers
	seen map[string]time.Time
}

// witness verifies cosignature/v1 (C2SP tlog-cosignature).
type witness struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (w *witness) Name() string    { return w.name }
func (w *witness) KeyHash() uint32 { return w.hash }
func (w *witness) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	seconds := binary.BigEndian.Uint64(signature)
	signed := fmt.Sprintf("cosignature/v1\ntime %d\n%s", seconds, text)
	return ed25519.Verify(w.key, []byte(signed), signature[8:])
}

func readWitnesses(vkeys []string) (*witnesses, error) {
	var list []note.Verifier
	for _, text := range vkeys {
		parts := strings.SplitN(text, "+", 3)
		if len(parts) != 3 {
			return nil, fmt.Errorf("%q is not a verifier key", text)
		}
		key, err := strict.DecodeString(parts[2])
		if err != nil || len(key) != 1+ed25519.PublicKeySize || key[0] != 4 {
			return nil, fmt.Errorf("%q is not the key of a witness", text)
		}
		hash, err := strconv.ParseUint(parts[1], 16, 32)
		if err != nil {
			return nil, err
		}
		list = append(list, &witness{parts[0], uint32(hash), key[1:]})
	}
	return &witnesses{Verifiers: note.VerifierList(list...)}, nil
}

// sign returns who of the witnesses signed a note, and when; it opens nothing else of it.
func (w *witnesses) sign(data string) ([]string, error) {
	opened, err := note.Open([]byte(data), w)
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, item := range opened.Sigs {
		raw, err := strict.DecodeString(item.Base64)
		if err != nil || len(raw) < 12 {
			return nil, errors.New("a cosignature cannot be read")
		}
		at := time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC()
		found = append(found, item.Name+" "+at.Format(time.RFC3339))
	}
	return found, nil
}

type subject struct {
	Name   string `json:"name"`
	Digest struct {
		SHA256 string `json:"sha256"`
	} `json:"digest"`
}

type statement struct {
	Type          string          `json:"_type"`
	Predicate     json.RawMessage `json:"predicate"`
	PredicateType string          `json:"predicateType"`
	Subject       []subject       `json:"subject"`
	payload       []byte
}

// openEnvelope checks a DSSE envelope that must be written in canonical JSON.
func openEnvelope(data []byte, key ed25519.PublicKey) (*statement, error) {
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	var envelope struct {
		Payload     string      `json:"payload"`
		PayloadType string      `json:"payloadType"`
		Signatures  []signature `json:"signatures"`
	}
	if err := decode(data, &envelope); err != nil {
		return nil, err
	}
	if again, err := compact(envelope); err != nil || !bytes.Equal(again, data) {
		return nil, errors.New("the envelope is not in canonical form")
	}
	if envelope.PayloadType != statementType || len(envelope.Signatures) != 1 {
		return nil, errors.New("it is not an envelope of one signed statement")
	}
	payload, err := strict.DecodeString(envelope.Payload)
	if err != nil {
		return nil, err
	}
	by := envelope.Signatures[0]
	raw, err := strict.DecodeString(by.Sig)
	if err != nil {
		return nil, err
	}
	if by.KeyID != digest(key) || !ed25519.Verify(key, pae(statementType, payload), raw) {
		return nil, errors.New("it is not signed by the key in force")
	}
	said := &statement{payload: payload}
	if err := decode(payload, said); err != nil {
		return nil, err
	}
	if said.Type != "https://in-toto.io/Statement/v1" {
		return nil, errors.New("it is not an in-toto statement")
	}
	return said, nil
}

func pae(kind string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}

func compact(value any) ([]byte, error) {
	var out bytes.Buffer
	writer := json.NewEncoder(&out)
	writer.SetEscapeHTML(false)
	err := writer.Encode(value)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}
