// Appends entries to a Tessera POSIX log in batches, waiting for each batch, and
// prints how long that took as JSON: the peer of the benchmark `proof`.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	folder := flag.String("folder", "", "where the log is made")
	count := flag.Int("entries", 100000, "entries to append")
	batch := flag.Int("batch", 1000, "entries appended together")
	size := flag.Int("bytes", 600, "bytes of an entry")
	flag.Parse()
	ctx := context.Background()
	appender, shutdown := open(ctx, *folder, uint(*batch))
	begun := time.Now()
	for done := 0; done < *count; done += *batch {
		appendBatch(ctx, appender, *batch, *size)
	}
	taken := time.Since(begun).Seconds()
	check(shutdown(ctx))
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"n": *count, "batch": *batch, "bytes": *size, "entries_per_s": int(float64(*count) / taken),
	}))
}

func open(ctx context.Context, folder string, batch uint) (*tessera.Appender, func(context.Context) error) {
	secret, _, err := note.GenerateKey(rand.Reader, "log.example/bench")
	check(err)
	signer, err := note.NewSigner(secret)
	check(err)
	driver, err := posix.New(ctx, posix.Config{Path: folder})
	check(err)
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(batch, time.Second).
		WithCheckpointInterval(time.Second)
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, options)
	check(err)
	return appender, shutdown
}

func appendBatch(ctx context.Context, appender *tessera.Appender, batch int, size int) {
	waiting := make([]tessera.IndexFuture, 0, batch)
	for range batch {
		data := make([]byte, size)
		_, err := rand.Read(data)
		check(err)
		waiting = append(waiting, appender.Add(ctx, tessera.NewEntry(data)))
	}
	for _, future := range waiting {
		_, err := future()
		check(err)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(fmt.Errorf("the peer failed: %w", err))
	}
}
