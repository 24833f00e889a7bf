package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	segmentType = "urn:regulatory-sandbox:evidence-segment:v1"
	// The trailer of a frame: version, signal, time, producer, number, length, CRC-32C.
	trailerField  = 19962
	trailerLength = 90
	numberAt      = 1 + 1 + 8 + 64
	lengthAt      = numberAt + 8
	checksumAt    = lengthAt + 4
	traces        = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type segment struct {
	Number     int    `json:"number"`
	TrialID    string `json:"trial_id"`
	Frames     int    `json:"frames"`
	Spans      int    `json:"spans"`
	FramesRoot string `json:"frames_root"`
	RawDigest  string `json:"raw_digest"`
	RawSize    int    `json:"raw_size"`
}

// erasure is what the log says of a segment whose bytes are no longer kept.
type erasure struct {
	index     int64
	statement string
}

// readErasures reads which segments the log says were erased; whether lawfully is for the
// first verifier to say.
func (b *bundle) readErasures() error {
	b.erased = map[int]erasure{}
	for _, item := range b.entries {
		if item.Kind != "erasure" || item.TrialID != b.manifest.TrialID {
			continue
		}
		var body struct {
			Kind            string `json:"kind"`
			Number          int    `json:"number"`
			StatementDigest string `json:"statement_digest"`
		}
		if err := json.Unmarshal(item.Body, &body); err != nil {
			return err
		}
		if body.Kind != "segment-erasure" {
			continue
		}
		if _, twice := b.erased[body.Number]; twice {
			return fmt.Errorf("segment %d was erased twice", body.Number)
		}
		b.erased[body.Number] = erasure{item.index, body.StatementDigest}
	}
	return nil
}

func (b *bundle) checkSegments() error {
	if err := b.readErasures(); err != nil {
		return err
	}
	there := map[string]bool{}
	for name := range b.files {
		if strings.HasPrefix(name, "segments/") {
			there[name] = true
		}
	}
	number := 0
	for _, item := range b.entries {
		if item.Kind != "segment" || item.TrialID != b.manifest.TrialID {
			continue
		}
		number++
		name := fmt.Sprintf("segments/%06d", number)
		if err := b.checkSegment(item, number, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		delete(there, name+".gz")
		delete(there, name+".dsse.json")
	}
	for name := range there {
		return fmt.Errorf("%s is not in the log", name)
	}
	return nil
}

func (b *bundle) checkSegment(item entry, number int, name string) error {
	var body struct {
		StatementDigest string          `json:"statement_digest"`
		Segment         json.RawMessage `json:"segment"`
	}
	if err := json.Unmarshal(item.Body, &body); err != nil {
		return err
	}
	said, err := openEnvelope(b.files[name+".dsse.json"], b.history.at(item.index))
	if err != nil {
		return err
	}
	if said.PredicateType != segmentType ||
		body.StatementDigest != "sha256:"+digest(said.payload) ||
		!bytes.Equal(body.Segment, said.Predicate) {
		return errors.New("its statement is not the one that the log names")
	}
	var words segment
	if err := json.Unmarshal(said.Predicate, &words); err != nil {
		return err
	}
	if words.Number != number || words.TrialID != b.manifest.TrialID {
		return errors.New("it is another segment, or one before it is missing")
	}
	packed, there := b.files[name+".gz"]
	if gone, erased := b.erased[number]; erased && !there {
		if gone.index < item.index || gone.statement != body.StatementDigest {
			return errors.New("the log does not say that this segment was erased")
		}
		b.sequence += words.Frames
		return nil
	}
	raw, err := unpack(packed, words.RawSize)
	if err != nil {
		return err
	}
	if words.RawDigest != "sha256:"+digest(raw) {
		return errors.New("its bytes are not those that were sealed")
	}
	return b.checkFrames(raw, words)
}

func unpack(packed []byte, size int) ([]byte, error) {
	source := bytes.NewReader(packed)
	reader, err := gzip.NewReader(source)
	if err != nil {
		return nil, err
	}
	reader.Multistream(false)
	raw, err := io.ReadAll(io.LimitReader(reader, int64(size)+1))
	if err != nil {
		return nil, err
	}
	if len(raw) != size || source.Len() != 0 {
		return nil, fmt.Errorf("it does not hold %d bytes, or more follows", size)
	}
	return raw, nil
}

func (b *bundle) checkFrames(raw []byte, words segment) error {
	var leaves []tlog.Hash
	spans := 0
	for rest := raw; len(rest) != 0; {
		message, length := protowire.ConsumeBytes(rest)
		if length < 0 {
			return protowire.ParseError(length)
		}
		number, count, err := readFrame(message)
		if err != nil {
			return fmt.Errorf("frame %d: %w", len(leaves)+1, err)
		}
		leaves = append(leaves, tlog.RecordHash(rest[:length]))
		if wanted := b.sequence + len(leaves); number != uint64(wanted) {
			return fmt.Errorf("frame %d has number %d; evidence is missing", wanted, number)
		}
		spans += count
		rest = rest[length:]
	}
	if len(leaves) == 0 {
		return errors.New("it has no frame")
	}
	root := treeHash(leaves)
	if len(leaves) != words.Frames || spans != words.Spans ||
		words.FramesRoot != fmt.Sprintf("sha256:%x", root[:]) {
		return errors.New("frames, spans or their root are not what its statement says")
	}
	b.sequence += len(leaves)
	b.found.Frames += len(leaves)
	b.found.Spans += spans
	return nil
}

// readFrame returns the number of a frame and how many spans are in it.
func readFrame(message []byte) (uint64, int, error) {
	head := protowire.AppendTag(nil, trailerField, protowire.BytesType)
	head = protowire.AppendVarint(head, trailerLength)
	start := len(message) - trailerLength
	if start < len(head) || !bytes.Equal(message[start-len(head):start], head) {
		return 0, 0, errors.New("it has no trailer")
	}
	payload, trailer := message[:start-len(head)], message[start:]
	sum := crc32.Update(crc32.Checksum(payload, castagnoli), castagnoli, trailer[:checksumAt])
	if sum != binary.LittleEndian.Uint32(trailer[checksumAt:]) {
		return 0, 0, errors.New("its checksum is wrong")
	}
	if int(binary.LittleEndian.Uint32(trailer[lengthAt:])) != len(payload) {
		return 0, 0, errors.New("its length is wrong")
	}
	number := binary.LittleEndian.Uint64(trailer[numberAt:])
	if trailer[1] != traces {
		return number, 0, nil
	}
	// ExportTraceServiceRequest: resource_spans (1), scope_spans (2), spans (2).
	messages, err := [][]byte{payload}, error(nil)
	for _, field := range []protowire.Number{1, 2, 2} {
		if messages, err = nested(messages, field); err != nil {
			return 0, 0, err
		}
	}
	return number, len(messages), nil
}

// nested returns the messages in a field of each of several messages.
func nested(messages [][]byte, field protowire.Number) ([][]byte, error) {
	var found [][]byte
	for _, message := range messages {
		for len(message) != 0 {
			number, kind, length := protowire.ConsumeField(message)
			if length < 0 {
				return nil, protowire.ParseError(length)
			}
			if number == field && kind == protowire.BytesType {
				_, _, tag := protowire.ConsumeTag(message)
				inner, _ := protowire.ConsumeBytes(message[tag:])
				found = append(found, inner)
			}
			message = message[length:]
		}
	}
	return found, nil
}

func treeHash(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	return tlog.NodeHash(treeHash(leaves[:split]), treeHash(leaves[split:]))
}
