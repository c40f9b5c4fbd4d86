// Command idle measures what an idle keep-alive connection costs in memory: what the server processes' PSS has grown by
// once each of many connections has had one request, for a cluster and for as many bare servers on one port
// (SO_REUSEPORT), on net/http and on fasthttp, in interleaved rounds with fresh servers.
//
//	go run ./scripts/idle -rounds 5 -connections 10000 -processes 4
//
// It is read twice (smaps_rollup): as it lies when it has stopped changing, with the garbage of the requests and the room
// that the collector leaves, and after a collection that gives back what is free, which is what the connections hold. All
// servers run the program of this script. That each connection was open all the time is shown by a second request on it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"

	"golang.org/x/perf/benchmath"

	"github.com/prefork/cluster/scripts/internal/servers"
)

func main() {
	servers.Serve()
	log.SetFlags(0)
	rounds := flag.Int("rounds", 5, "rounds, each with every server")
	connections := flag.Int("connections", 10_000, "idle connections")
	processes := flag.Int("processes", 4, "workers, or bare servers")
	seed := flag.Uint64("seed", 1, "of the order in the rounds")
	only := flag.String("only", "", "servers whose name contains this; empty: all")
	flag.Parse()
	if err := raiseLimit(*connections); err != nil {
		log.Fatal(err)
	}
	lab, err := servers.NewLab()
	if err != nil {
		log.Fatal(err)
	}
	m := measurement{lab: lab, connections: *connections, processes: *processes}
	err = m.run(*rounds, rand.New(rand.NewPCG(*seed, 0)), *only)
	lab.Close()
	if err != nil {
		log.Fatal(err)
	}
}

// kind is a server that is measured: a bare one, or a cluster that runs a program.
type kind struct {
	name, bare, program string
}

var kinds = []kind{
	{name: "cluster, net/http", program: servers.Worker},
	{name: "bare net/http", bare: servers.NetHTTP},
	{name: "cluster, fasthttp", program: servers.FastWorker},
	{name: "bare fasthttp", bare: servers.FastHTTP},
}

type measurement struct {
	lab                    *servers.Lab
	connections, processes int
}

// growth is bytes of PSS a connection, of all server processes.
type growth struct{ lying, held float64 }

func (m *measurement) run(rounds int, order *rand.Rand, only string) error {
	fmt.Printf("%d connections, %d server processes; bytes of PSS a connection\n\nround  %-17s  as it lies  collected\n", m.connections, m.processes, "server")
	lying, held := map[string][]float64{}, map[string][]float64{}
	for i := range rounds {
		for _, k := range order.Perm(len(kinds)) {
			name := kinds[k].name
			if !strings.Contains(name, only) {
				continue
			}
			g, err := m.measure(kinds[k])
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			lying[name], held[name] = append(lying[name], g.lying), append(held[name], g.held)
			fmt.Printf("%5d  %-17s  %10.0f  %9.0f\n", i+1, name, g.lying, g.held)
		}
	}
	fmt.Println("\nmedians (least to most)")
	for _, k := range kinds {
		if len(lying[k.name]) > 0 {
			fmt.Printf("%-17s  as it lies %s, collected %s\n", k.name, spread(lying[k.name]), spread(held[k.name]))
		}
	}
	return nil
}

// spread names the extremes and no interval: the rounds are too few for one, and they differ little.
func spread(values []float64) string {
	s := benchmath.NewSample(values, &benchmath.DefaultThresholds).Values
	return fmt.Sprintf("%.0f (%.0f to %.0f)", benchmath.AssumeNothing.Summary(&benchmath.Sample{Values: s}, 0.95).Center, s[0], s[len(s)-1])
}

// measure starts a server, makes it serve and stops it.
func (m *measurement) measure(k kind) (g growth, err error) {
	server, err := m.start(k)
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	// What the first requests need for good does not count: a few on every process.
	if err := m.hold(64*m.processes, func(clients) error { return nil }); err != nil {
		return g, err
	}
	before, err := collected(server)
	if err != nil {
		return g, err
	}
	err = m.hold(m.connections, func(c clients) error {
		lying, err := settled(server)
		if err != nil {
			return err
		}
		held, err := collected(server)
		if err != nil {
			return err
		}
		g = growth{lying: float64(lying-before) / float64(m.connections), held: float64(held-before) / float64(m.connections)}
		return c.ask()
	})
	return g, errors.Join(err, server.Unchanged())
}

func (m *measurement) start(k kind) (*servers.Running, error) {
	procs := max(1, runtime.NumCPU()/m.processes)
	if k.bare != "" {
		return m.lab.Bare(k.bare, m.processes, procs)
	}
	// Nobody is to be closed for being silent while memory settles.
	args := append([]string{"--idle-timeout", "1h"}, m.lab.Program(k.program)...)
	return m.lab.Cluster(m.lab.TCP(), m.processes, procs, os.Stderr, args...)
}

// hold runs f while so many connections are open, each of which has had a request.
func (m *measurement) hold(n int, f func(clients) error) error {
	c, err := connect(m.lab.Address, n)
	defer c.close()
	if err != nil {
		return err
	}
	if err := c.ask(); err != nil {
		return err
	}
	return f(c)
}
