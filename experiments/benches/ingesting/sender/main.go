// Sends one HTTP request again and again over many connections and prints what came back.
//
// Each connection keeps one request in flight. With a rate, requests have instants at
// which they are due, and an answer's time is counted from there: a server that stalls
// cannot make its own figures better by being asked less (coordinated omission).
// A connection that breaks ends its client; what was answered before is still counted.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

type tally struct {
	taken   []time.Duration
	refused int
	broken  bool
}

func main() {
	target := flag.String("target", "", "HOST:PORT")
	clients := flag.Int("clients", 1, "connections")
	seconds := flag.Float64("seconds", 1, "how long to send")
	rate := flag.Float64("rate", 0, "requests per second of all clients; 0 is as fast as possible")
	flag.Parse()
	request, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	tallies := make([]tally, *clients)
	every := time.Duration(0)
	if *rate > 0 {
		every = time.Duration(float64(*clients) / *rate * float64(time.Second))
	}
	begun := time.Now()
	until := begun.Add(time.Duration(*seconds * float64(time.Second)))
	var all sync.WaitGroup
	for number := range tallies {
		first := begun.Add(every * time.Duration(number) / time.Duration(*clients))
		all.Go(func() { tallies[number].send(*target, request, until, first, every) })
	}
	all.Wait()
	report(tallies, time.Since(begun))
}

func (t *tally) send(target string, request []byte, until, due time.Time, every time.Duration) {
	connection, err := net.Dial("tcp", target)
	if err != nil {
		t.broken = true
		return
	}
	defer connection.Close()
	answers := bufio.NewReader(connection)
	for {
		since := time.Now()
		if every > 0 {
			time.Sleep(due.Sub(since))
			since, due = due, due.Add(every)
		}
		if !since.Before(until) {
			return
		}
		if _, err := connection.Write(request); err != nil {
			t.broken = true
			return
		}
		accepted, err := answer(answers)
		if err != nil {
			t.broken = true
			return
		}
		if !accepted {
			t.refused++
			continue
		}
		t.taken = append(t.taken, time.Since(since))
	}
}

func answer(answers *bufio.Reader) (accepted bool, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := answers.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		line = bytes.TrimSpace(line)
		if first {
			accepted = bytes.HasPrefix(line, []byte("HTTP/1.1 200"))
			continue
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return false, err
			}
		}
	}
	_, err = answers.Discard(length)
	return accepted, err
}

func report(tallies []tally, lasted time.Duration) {
	var taken []time.Duration
	refused, broken := 0, 0
	for _, one := range tallies {
		taken = append(taken, one.taken...)
		refused += one.refused
		if one.broken {
			broken++
		}
	}
	slices.Sort(taken)
	ms := func(part float64) float64 {
		if len(taken) == 0 {
			return 0
		}
		at := min(int(part*float64(len(taken))), len(taken)-1)
		return float64(taken[at].Microseconds()) / 1000
	}
	said, err := json.Marshal(map[string]any{
		"answered": len(taken), "refused": refused, "broken": broken,
		"seconds":   lasted.Seconds(),
		"answer_ms": map[string]float64{"p50": ms(.5), "p95": ms(.95), "p99": ms(.99), "max": ms(1)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(said))
}
