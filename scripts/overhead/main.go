// Command overhead measures what one way of serving costs on top of another: CPU per request of the serving processes, at
// saturation by keep-alive connections, in interleaved rounds of
//
//	base, a side, base, another side, base
//
// so that each base run, against the one before, shows what the machine's noise alone looks like (A/A). The order of the
// sides is drawn anew for each round. Each run is a fresh server. It prints each round, and the medians with their 95%
// intervals (golang.org/x/perf/benchmath, no assumption about distributions).
//
//	go run ./scripts/overhead -compare nethttp -rounds 15 -duration 4s
//
// But for "built-in", which is the application in the command itself, both sides run the program of this script. The CPU
// time of the master is not in that of the workers; it stands beside.
//
// It needs wrk (Debian package wrk), for tls2 h2load (nghttp2-client).
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/prefork/cluster/scripts/internal/servers"
)

func main() {
	servers.Serve()
	log.SetFlags(0)
	compare := flag.String("compare", "nethttp", "what is compared:"+names())
	rounds := flag.Int("rounds", 15, "rounds of a run of each side, with runs of the base between them")
	length := flag.Duration("duration", 4*time.Second, "length of a run, in whole seconds; a second of warm-up comes before it")
	connections := flag.Int("connections", 0, "keep-alive connections; 0: 64, for tls2 16 of 8 streams")
	path := flag.String("path", "", "what is asked for; empty: /plaintext, for buffers /10k")
	procs := flag.Int("procs", 0, "GOMAXPROCS of each server process; 0: the CPUs, divided by the workers")
	seed := flag.Uint64("seed", 1, "of the order in the rounds")
	raw := flag.String("json", "", "file for the raw trials, one JSON object a line")
	flag.Parse()
	lab, err := servers.NewLab()
	if err != nil {
		log.Fatal(err)
	}
	m := measurement{lab: lab, name: *compare, length: *length, raw: json.NewEncoder(io.Discard)}
	var known bool
	if m.comparison, known = comparisons(lab)[*compare]; known {
		m.clients = cmp.Or(*connections, m.clients)
		m.path = cmp.Or(*path, m.path)
		m.procs = cmp.Or(*procs, max(1, runtime.NumCPU()/m.workers))
		err = m.run(*rounds, rand.New(rand.NewPCG(*seed, 0)), *raw)
	} else {
		err = fmt.Errorf("there is no comparison %q, but:%s", *compare, names())
	}
	lab.Close()
	if err != nil {
		log.Fatal(err)
	}
}

// measurement is a comparison that is being made.
type measurement struct {
	comparison
	lab    *servers.Lab
	name   string
	length time.Duration
	procs  int
	raw    *json.Encoder
}

func (m *measurement) run(rounds int, order *rand.Rand, raw string) error {
	if raw != "" {
		file, err := os.Create(raw)
		if err != nil {
			return err
		}
		defer file.Close()
		m.raw = json.NewEncoder(file)
	}
	fmt.Printf("%s\n%s, %d connections, %d server processes with GOMAXPROCS %d each, %v a run; µs of CPU per request\n\n", m.about, m.path, m.clients, m.workers, m.procs, m.length)
	t := newTable(m.against)
	for i := range rounds {
		if err := m.round(i+1, order.Perm(len(m.against)), t); err != nil {
			return err
		}
	}
	t.summary(m.base, m.against)
	return nil
}

// round measures each side once, in an order, between two runs of the base.
func (m *measurement) round(number int, order []int, t *table) error {
	trials := 0
	measure := func(s side) (trial, error) {
		trials++
		got, err := m.measure(s)
		if err != nil {
			return got, fmt.Errorf("%s: %w", s.name, err)
		}
		got.Comparison, got.Round, got.Order, got.Side = m.name, number, trials, s.name
		return got, m.raw.Encode(got)
	}
	before, err := measure(m.base)
	if err != nil {
		return err
	}
	t.base.note(before)
	for _, i := range order {
		got, err := measure(m.against[i])
		if err != nil {
			return err
		}
		after, err := measure(m.base)
		if err != nil {
			return err
		}
		t.base.note(after)
		t.add(i, number, before, got, after)
		before = after
	}
	return nil
}
