package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	manifestType = "urn:regulatory-sandbox:bundle-manifest:v1"
	manifestName = "manifest.json"
	envelopeName = "manifest.dsse.json"
)

type manifest struct {
	Kind      string   `json:"kind"`
	Format    int      `json:"format"`
	TrialID   string   `json:"trial_id"`
	EntriesOf []string `json:"entries_of"`
	Tool      any      `json:"tool"`
	Files     []file   `json:"files"`
}

type file struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"`
}

// entry is a log entry as far as it is read; raw is what the log hashes.
type entry struct {
	Kind    string          `json:"kind"`
	EntryID string          `json:"entry_id"`
	TrialID string          `json:"trial_id"`
	Body    json.RawMessage `json:"body"`
	index   int64
}

// Found is what was counted in a bundle that verifies.
type Found struct {
	Entries      int      `json:"entries"`
	Frames       int      `json:"frames"`
	Spans        int      `json:"spans"`
	Checkpoints  int      `json:"checkpoints"`
	Keys         int      `json:"keys"`
	Cosignatures []string `json:"cosignatures"`
}

type bundle struct {
	folder   string
	files    map[string][]byte
	manifest manifest
	history  *history
	head     checkpoint
	entries  []entry
	erased   map[int]erasure
	sequence int
	found    Found
}

// verify checks a bundle; an empty key trusts the ones in it.
func verify(folder string, key []byte, witnesses []string) (*Found, error) {
	b := &bundle{folder: folder, files: map[string][]byte{}}
	b.found.Cosignatures = []string{}
	for _, step := range []func() error{
		b.readFiles,
		func() error { return b.readKeys(key) },
		b.checkManifest,
		b.checkHead,
		b.checkEntries,
		func() error { return b.checkEarlier(witnesses) },
		b.checkSegments,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &b.found, nil
}

// readFiles takes in every file, and refuses what is no plain one.
func (b *bundle) readFiles() error {
	return filepath.WalkDir(b.folder, func(path string, item fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(b.folder, path)
		if err != nil {
			return err
		}
		if item.IsDir() {
			inside, err := os.ReadDir(path)
			if err == nil && len(inside) == 0 {
				err = fmt.Errorf("%s is empty", name)
			}
			return err
		}
		if !item.Type().IsRegular() {
			return fmt.Errorf("%s is not a plain file", name)
		}
		b.files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
}

func (b *bundle) readKeys(key []byte) error {
	if err := decode(b.files[manifestName], &b.manifest); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	if b.manifest.Kind != "bundle-manifest" || b.manifest.Format != 2 {
		return errors.New("the bundle is not of format 2")
	}
	history, err := readHistory(b.files["keys.json"])
	if err != nil {
		return fmt.Errorf("keys.json: %w", err)
	}
	if len(key) != 0 && !history.knows(key) {
		return errors.New("keys.json: the bundle is by another key")
	}
	b.history, b.found.Keys = history, len(history.keys)
	return nil
}

func (b *bundle) checkManifest() error {
	said, err := openEnvelope(b.files[envelopeName], b.history.latest())
	if err != nil {
		return fmt.Errorf("%s: %w", envelopeName, err)
	}
	if said.PredicateType != manifestType || len(said.Subject) != 1 ||
		said.Subject[0].Name != manifestName ||
		said.Subject[0].Digest.SHA256 != digest(b.files[manifestName]) {
		return errors.New("manifest.json is not the one that was signed")
	}
	listed := map[string]bool{manifestName: true, envelopeName: true}
	for _, item := range b.manifest.Files {
		data, there := b.files[item.Name]
		if !there || listed[item.Name] || len(data) != item.Size || digest(data) != item.SHA256 {
			return fmt.Errorf("%s is missing, listed twice, or was changed", item.Name)
		}
		listed[item.Name] = true
	}
	for name, data := range b.files {
		if strings.HasSuffix(name, ".jsonl") && len(data) != 0 && data[len(data)-1] != '\n' {
			return fmt.Errorf("%s is cut off", name)
		}
		if !listed[name] {
			return fmt.Errorf("%s does not belong here", name)
		}
	}
	return nil
}

func (b *bundle) checkHead() error {
	head, _, err := b.history.open(b.files["checkpoint"])
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if !bytes.Equal(b.history.at(head.size-1), b.history.latest()) {
		return errors.New("keys.json: a key is in force that the checkpoint does not cover")
	}
	b.head = head
	for _, change := range b.history.changes {
		if err := b.included(change.entry, change.place, change.proof); err != nil {
			return fmt.Errorf("keys.json: %w", err)
		}
	}
	return nil
}

func (b *bundle) checkEntries() error {
	last, begun := int64(-1), false
	for _, line := range lines(b.files["entries.jsonl"]) {
		var item struct {
			Index int64           `json:"index"`
			Entry json.RawMessage `json:"entry"`
			Proof []string        `json:"proof"`
		}
		if err := decode(line, &item); err != nil {
			return fmt.Errorf("entries.jsonl: %w", err)
		}
		if item.Index <= last {
			return fmt.Errorf("entries.jsonl: entry %d is out of order", item.Index)
		}
		if err := b.included(item.Entry, item.Index, item.Proof); err != nil {
			return fmt.Errorf("entries.jsonl: %w", err)
		}
		read := entry{index: item.Index}
		if err := json.Unmarshal(item.Entry, &read); err != nil {
			return fmt.Errorf("entries.jsonl: %w", err)
		}
		if !slices.Contains(b.manifest.EntriesOf, read.TrialID) {
			return fmt.Errorf("entries.jsonl: entry %d is not of this bundle", item.Index)
		}
		last = item.Index
		begun = begun || read.Kind == "application" && read.TrialID == b.manifest.TrialID
		b.entries = append(b.entries, read)
	}
	if !begun {
		return errors.New("entries.jsonl: the application of the trial is missing")
	}
	b.found.Entries = len(b.entries)
	return nil
}

// included checks that the bytes of an entry stand at a place of the log.
func (b *bundle) included(entry []byte, index int64, proof []string) error {
	steps, err := hashes(proof)
	if err != nil {
		return err
	}
	leaf := tlog.RecordHash(entry)
	err = tlog.CheckRecord(tlog.RecordProof(steps), b.head.size, b.head.root, index, leaf)
	if err != nil {
		return fmt.Errorf("entry %d: %w", index, err)
	}
	return nil
}

// checkEarlier checks that the log continues every other checkpoint in the bundle.
func (b *bundle) checkEarlier(witnesses []string) error {
	known, err := readWitnesses(witnesses)
	if err != nil {
		return err
	}
	for _, name := range []string{"checkpoints.jsonl", "cosignatures.jsonl", "timestamps.jsonl"} {
		for _, line := range lines(b.files[name]) {
			var item struct {
				Note        string   `json:"note"`
				Consistency []string `json:"consistency"`
				Token       string   `json:"token"`
				Chain       []string `json:"chain"`
			}
			if err := decode(line, &item); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := b.continues(item.Note, item.Consistency); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if name == "cosignatures.jsonl" {
				seen, err := known.sign(item.Note)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				b.found.Cosignatures = append(b.found.Cosignatures, seen...)
			}
			b.found.Checkpoints++
		}
	}
	return nil
}

func (b *bundle) continues(text string, proof []string) error {
	old, _, err := b.history.open([]byte(text))
	if err != nil {
		return err
	}
	steps, err := hashes(proof)
	if err != nil {
		return err
	}
	if old.size == 0 {
		if len(steps) != 0 || old.root != tlog.Hash(sha256.Sum256(nil)) {
			return errors.New("an empty log has another root or a proof")
		}
		return nil
	}
	return tlog.CheckTree(tlog.TreeProof(steps), b.head.size, b.head.root, old.size, old.root)
}

// decode reads one JSON value that has the fields of target and no others.
func decode(data []byte, target any) error {
	reader := json.NewDecoder(bytes.NewReader(data))
	reader.DisallowUnknownFields()
	if err := reader.Decode(target); err != nil {
		return err
	}
	if rest := data[reader.InputOffset():]; len(rest) != 0 {
		return fmt.Errorf("%d bytes follow the JSON", len(rest))
	}
	return nil
}

func lines(data []byte) [][]byte {
	if len(data) == 0 {
		return nil
	}
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

func hashes(steps []string) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, step := range steps {
		raw, err := hex.DecodeString(step)
		if err != nil || len(raw) != 32 || strings.ToLower(step) != step {
			return nil, fmt.Errorf("%q is not a hash", step)
		}
		found = append(found, tlog.Hash(raw))
	}
	return found, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
