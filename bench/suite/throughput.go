package suite

import (
	"fmt"
	"slices"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
	"github.com/prefork/cluster/configs"
)

const (
	bareNetHTTP  = "bare net/http"
	bareFastHTTP = "bare fasthttp"
)

var throughput = []string{"rate", "cpu", "p50", "p99", "p999"}

func headline(o Options) Suite {
	steps := o.paths("/plaintext", "/10k", "/cpu", "/io", "/io_native")
	of := size(o.Workers, o.Threads)
	c := cells(steps,
		bareNetHTTP, bare("nethttp"),
		"prefork "+of, prefork(o.Workers, o.Threads),
		"prefork "+of+" fasthttp", fasthttp(prefork(o.Workers, o.Threads)),
		"inprocess "+of, inprocess(o.Workers, o.Threads, "queue"),
	)
	cpus := configs.AvailableCPUs()
	if !o.Quick {
		c = append(c, cells(steps,
			"prefork "+size(cpus, o.Threads), prefork(cpus, o.Threads),
			"prefork "+size(cpus, o.Threads)+" fasthttp", fasthttp(prefork(cpus, o.Threads)),
			bareFastHTTP, bare("fasthttp"),
			"fasthttp's prefork", bare("fasthttp-prefork"))...)
	}
	s := Suite{
		Question: "What does a cluster of processes cost and give, against one process with as many threads and against other servers?",
		Cells:    append(c, o.peers(steps)...),
		Tables:   []Table{{Title: "Requests", Base: bareNetHTTP, Compare: "cpu", Figures: throughput}},
	}
	after := Table{Title: "Memory after all of it", Steps: []string{"/io_native"}, Figures: []string{"idle_pss", "rest_pss", "master_pss", "sum_pss", "sum_rss"}}
	for _, puma := range []string{"puma", "puma-yjit"} {
		if slices.Contains(o.Peers, puma) {
			s.Tables = append(s.Tables, Table{Title: "Against " + puma, Steps: []string{"/plaintext", "/cpu"}, Base: puma, Compare: "cpu", Figures: []string{"rate", "cpu"}})
			if after.Base == "" {
				after.Base, after.Compare = puma, "rest_pss"
			}
		}
	}
	if !o.Quick && slices.Contains(o.Peers, "nginx") {
		few := fmt.Sprintf("nginx, %d workers", cpus)
		s.Cells = append(s.Cells, Cell{Name: few, Steps: steps, Spec: target.Spec{Kind: target.Peer, Peer: "nginx", Workers: cpus, Threads: o.Threads}})
		s.Tables = append(s.Tables, Table{
			Title: "As many workers as CPUs", Steps: []string{"/plaintext", "/10k"}, Base: few, Compare: "cpu", Figures: []string{"rate", "cpu", "p99"},
			Cells: []string{few, "prefork " + size(cpus, o.Threads) + " fasthttp", bareFastHTTP, "prefork " + size(cpus, o.Threads), bareNetHTTP},
		})
	}
	s.Tables = append(s.Tables, after)
	return s
}

func topology(o Options) Suite {
	sizes := [][2]int{{8, 3}, {8, 1}, {16, 1}, {32, 1}, {1, 24}}
	constant := [][2]int{{1, 24}, {2, 12}, {4, 6}, {8, 3}, {24, 1}}
	threads := [][2]int{{8, 1}, {8, 2}, {8, 3}, {8, 4}, {8, 5}}
	if o.Quick {
		constant, threads = [][2]int{{1, 24}, {8, 3}}, [][2]int{{8, 1}, {8, 3}, {8, 5}}
		sizes = sizes[:3]
	}
	steps := o.paths("/plaintext", "/cpu", "/io")
	s := Suite{Question: "How many processes, and how many threads in each?"}
	table := func(title, about string, sizes [][2]int) {
		t := Table{Title: title, About: about, Base: "8×3", Compare: "cpu", Figures: append(slices.Clone(throughput), "sum_pss")}
		for _, wt := range sizes {
			name := size(wt[0], wt[1])
			t.Cells = append(t.Cells, name)
			if !slices.ContainsFunc(s.Cells, func(c Cell) bool { return c.Name == name }) {
				s.Cells = append(s.Cells, cells(steps, name, prefork(wt[0], wt[1]))...)
			}
		}
		s.Tables = append(s.Tables, t)
	}
	table("Topologies", "", sizes)
	table("Workers × threads kept at 24", "The same number of requests at a time, in fewer or more processes.", constant)
	table("Threads 1 to 5", "Rails went from 5 threads to 3 as its default.", threads)
	return s
}

func dispatch(o Options) Suite {
	steps := o.paths("/plaintext", "/10k", "/cpu", "/io")
	s := Suite{
		Question: "What does the way in which connections reach workers cost, and how evenly does it spread them?",
		Tables: []Table{{
			Title: "Ways of dispatch", Base: "reuseport", Compare: "cpu", Figures: slices.Concat(throughput, handedOff), About: aboutHandoff,
		}},
	}
	for _, way := range ways("dispatch") {
		spec := prefork(o.Workers, o.Threads)
		spec.Dispatch = way
		s.Cells = append(s.Cells, cells(steps, way, spec)...)
	}
	return s
}

func pool(o Options) Suite {
	steps := o.paths("/plaintext", "/10k", "/cpu", "/io")
	s := Suite{
		Question: "What does the way in which requests reach threads cost?",
		Tables: []Table{{
			Title: "Pools", Base: "lease", Compare: "cpu", Figures: slices.Concat(throughput, []string{"switches"}, handedOff), About: aboutHandoff,
		}},
	}
	for _, way := range ways("pool") {
		spec := prefork(o.Workers, o.Threads)
		spec.Pool = way
		s.Cells = append(s.Cells, cells(steps, way, spec)...)
		if way == "lease" || way == "queue" { // others are refused with handoff
			spec.Dispatch = "handoff"
			s.Cells = append(s.Cells, cells(steps, "handoff "+way, spec)...)
		}
		if way != "unbounded" { // which is refused in process
			s.Cells = append(s.Cells, cells(steps, "inprocess "+way, inprocess(o.Workers, o.Threads, way))...)
		}
	}
	batches := with(prefork(o.Workers, o.Threads), "--batch", "4")
	batches.Pool = "queue"
	s.Cells = append(s.Cells, cells(steps, "queue, batches of 4", batches)...)
	locked := with(prefork(o.Workers, o.Threads), "--os-threads")
	locked.Pool = "queue"
	s.Cells = append(s.Cells, cells(steps, "queue, OS threads", locked)...)
	return s
}

func gvl(o Options) Suite {
	s := Suite{Question: "With one goroutine running Go code at a time in each process, as under Ruby's GVL: do processes or threads add more?"}
	counts := []int{1, 2, 4, 8}
	if o.Quick {
		counts = []int{1, 2, 8}
	}
	steps := o.paths("/cpu", "/io")
	add := func(name string, spec target.Spec) {
		spec.GVL = true
		s.Cells = append(s.Cells, cells(steps, name, spec)...)
	}
	for _, n := range counts {
		add(size(n, 1)+" processes", prefork(n, 1))
		if n > 1 {
			add(size(1, n)+" threads", prefork(1, n))
		}
	}
	s.Tables = []Table{{Title: "Processes against threads", Base: "1×1 processes", Compare: "rate", Figures: []string{"rate", "cpu", "p50", "p99", "sched_p99"}}}
	return s
}

func variance(o Options) Suite {
	of := "prefork " + size(o.Workers, o.Threads)
	return Suite{
		Question: "How much do two measurements of the same thing differ on this machine now?",
		Cells:    cells(o.paths("/plaintext"), of, prefork(o.Workers, o.Threads), of+" (other name)", prefork(o.Workers, o.Threads)),
		Tables:   []Table{{Title: "The same against the same", Base: of, Compare: "cpu", Figures: throughput}},
	}
}

// generator is about what makes the load.
func generator(o Options) Suite {
	s := Suite{
		Question: "What does the load generator itself cost, and do the tools agree about the server?",
		Tables: []Table{{
			Title: "The same server, asked by each", Base: string(load.Builtin), Compare: "gen_cpu", Figures: []string{"gen_cpu", "rate", "cpu", "p50", "p99"},
			About: "wrk and ab take whole seconds, and count what happens in the process's whole life.",
		}},
	}
	for _, tool := range []load.Tool{load.Builtin, load.Wrk, load.AB} {
		o.Tool = tool
		o.complete()
		plan := o.closed("/plaintext")
		s.Cells = append(s.Cells, Cell{Name: string(tool), Spec: bare("fasthttp"), Steps: []Step{{Name: "/plaintext", Load: plan}}})
	}
	return s
}
