package suite

import (
	"fmt"
	"slices"
	"time"

	"github.com/prefork/cluster/bench/load"
	"github.com/prefork/cluster/bench/target"
	"github.com/prefork/cluster/configs"
)

func memory(o Options) Suite {
	rest := 2 * time.Second // in which Go gives memory back
	if o.Quick {
		rest = 500 * time.Millisecond
	}
	battery := append(o.paths("/plaintext", "/10k", "/cpu", "/io"), Step{Name: "after a rolling restart", Events: []Event{{What: "restart"}}, Rest: rest})
	battery[3].Rest = rest
	of := size(o.Workers, o.Threads)
	fast := []string{"--settle", "100ms"} // as the other steps are short, too
	spec := func(workers, threads int) target.Spec { return with(prefork(workers, threads), fast...) }
	c := cells(battery,
		"prefork "+of, spec(o.Workers, o.Threads),
		"prefork "+of+" fasthttp", fasthttp(spec(o.Workers, o.Threads)),
		"inprocess "+of, with(inprocess(o.Workers, o.Threads, "queue"), fast...),
	)
	if !o.Quick {
		c = append(c, cells(battery,
			"prefork "+size(2*o.Workers, o.Threads), spec(2*o.Workers, o.Threads),
			"prefork "+size(o.Workers, 8*o.Threads), spec(o.Workers, 8*o.Threads),
			"prefork "+size(2*o.Workers, o.Threads)+" fasthttp", fasthttp(spec(2*o.Workers, o.Threads)))...)
	}
	c = append(c, cells(battery[:4], bareNetHTTP, bare("nethttp"), bareFastHTTP, bare("fasthttp"))...)
	c = append(c, o.peers(battery[:4])...)

	heavy := o.paths("/app")
	heavy[0].Rest = rest
	data := "CLUSTER_DEMO_DATA=100MiB"
	app := cells(heavy,
		"/app, prefork 8×5", env(prefork(8, 5), data),
		"/app, inprocess 8×5", env(inprocess(8, 5, "queue"), data))
	if !o.Quick {
		app = append(app, cells(heavy, "/app, prefork 2×5", env(prefork(2, 5), data))...)
	}
	names := func(c []Cell) (names []string) {
		for _, c := range c {
			names = append(names, c.Name)
		}
		return names
	}
	sizes := []string{"idle_pss", "loaded_pss", "rest_pss", "private", "shared", "master_pss", "sum_pss", "sum_rss"}
	return Suite{
		Question: "How much memory does each process add, what do processes share, and does it come back?",
		Cells:    append(c, app...),
		Tables: []Table{
			{
				Title: "Memory after the battery", Steps: []string{"/io"}, Cells: names(c), Figures: append(slices.Clone(sizes), "per_worker_pss"),
				About: "What one more worker costs shows against the row with twice the workers; what one more thread costs, against that with eight times the threads.",
			},
			{Title: "After a rolling restart", Steps: []string{"after a rolling restart"}, Figures: []string{"rest_pss", "private", "shared", "sum_pss"}},
			{
				Title: "The heavy application", Steps: []string{"/app"}, Cells: names(app), Base: "/app, prefork 8×5", Compare: "cpu",
				Figures: append([]string{"rate", "cpu", "p50", "p99"}, sizes...),
				About:   "A data set of 100 MiB in each process: what one process saves, and what it gives up.",
			},
		},
	}
}

// waits is the suite io: of requests that wait 5 ms.
func waits(o Options) Suite {
	s := Suite{
		Question: "How many requests that wait 5 ms are answered: threads ÷ wait, or less?",
		Tables: []Table{{
			Title: "Workers against waits", Figures: []string{"rate", "of_slots", "cpu", "p50", "p99", "share_max"},
			About: "of_slots: requests a second against threads ÷ 5 ms. What is missing is the wait's own lateness, and threads that stand idle while connections wait at another worker.",
		}},
	}
	counts := []int{1, 2, 4, 8, 16, 32}
	if o.Quick {
		counts = []int{1, 8, 32}
	}
	for _, n := range counts {
		steps := o.paths("/io", "/io_native")
		for i := range steps {
			steps[i].Load.Connections = max(o.Connections, 4*n*o.Threads)
		}
		s.Cells = append(s.Cells, cells(steps, "prefork "+size(n, o.Threads), prefork(n, o.Threads))...)
	}
	steps := o.paths("/io", "/io_native")
	for i := range steps {
		steps[i].Load.Connections = max(o.Connections, 4*8*o.Threads)
	}
	s.Cells = append(s.Cells, cells(steps, "inprocess "+size(8, o.Threads), inprocess(8, o.Threads, "queue"))...)
	return s
}

func cpu(o Options) Suite {
	const fib = "/cpu?n=25"
	probe := o.closed(fib)
	probe.Connections = 8
	steps := []Step{{Name: "Fibonacci", Load: probe}}
	recipe := o.paths("/cpu")
	cpus := configs.AvailableCPUs()
	c := cells(steps, "8 processes", prefork(8, 1), "8 in-process workers", inprocess(8, 1, "queue"), "1 process", prefork(1, 8))
	recipes := cells(recipe, size(o.Workers, o.Threads), prefork(o.Workers, o.Threads), size(o.Workers, 1), prefork(o.Workers, 1),
		size(cpus, 1), prefork(cpus, 1), size(cpus, o.Threads), prefork(cpus, o.Threads))
	return Suite{
		Question: "Does work run as fast in processes as in threads of one process, and which topology is best for it?",
		Cells:    append(c, recipes...),
		Tables: []Table{
			{
				Title: "Fibonacci per CPU second", Steps: []string{"Fibonacci"}, Cells: []string{"8 processes", "8 in-process workers", "1 process"},
				Base: "8 processes", Compare: "efficiency", Figures: []string{"rate", "efficiency", "cpu", "p99", "run_queue"},
				About: "At equal load of the machine: eight requests at a time on all its CPUs, in each. " + fib + ", " + "one request at a time on a connection.",
			},
			{
				Title: "The CPU recipe", Steps: []string{"/cpu"}, Base: size(o.Workers, o.Threads), Compare: "cpu",
				Cells:   []string{size(o.Workers, o.Threads), size(o.Workers, 1), size(cpus, 1), size(cpus, o.Threads)},
				Figures: append(slices.Clone(throughput), "run_queue"),
				About:   fmt.Sprintf("One thread a worker, one worker a CPU (%d), and both, against the default.", cpus),
			},
		},
	}
}

func logging(o Options) Suite {
	steps := o.paths("/plaintext")
	spec := prefork(o.Workers, o.Threads)
	logged := func(s target.Spec) target.Spec { s.Output = true; return s }
	return Suite{
		Question: "What does a line of log for each request cost?",
		Cells: cells(steps,
			"none", spec,
			"access log, text", logged(with(spec, "--log-requests")),
			"access log, JSON", logged(with(spec, "--log-requests", "--log-format", "json")),
			"application, shared logger", logged(env(spec, "CLUSTER_DEMO_LOG=shared")),
			"application, non-blocking", logged(env(spec, "CLUSTER_DEMO_LOG=handler"))),
		Tables: []Table{{Title: "One line a request, to a file", Base: "none", Compare: "cpu", Figures: append(slices.Clone(throughput), "switches")}},
	}
}

func runtimes(o Options) Suite {
	steps := o.paths("/plaintext", "/10k", "/cpu")
	spec := prefork(o.Workers, o.Threads)
	queue := spec
	queue.Pool = "queue"
	c := cells(steps,
		"GOGC=100", env(spec, "GOGC=100"),
		"GOGC=50", env(spec, "GOGC=50"),
		"GOGC=200", env(spec, "GOGC=200"),
		"GOGC=400", env(spec, "GOGC=400"),
		"GOGC=off, GOMEMLIMIT=32MiB", env(spec, "GOGC=off", "GOMEMLIMIT=32MiB"),
		"pool queue", queue,
		"pool queue, busy-polling", with(queue, "--busy-poll", "20us"))
	about := "Profile-guided optimisation is missing here: scripts/pgo makes a second build, which --alt-binary names."
	if o.AltBinary != "" {
		about = ""
		alt := spec
		alt.Binary, alt.Env = o.AltBinary, []string{"GOGC=100"}
		c = append(c, cells(steps, "profile-guided build", alt)...)
	}
	return Suite{
		Question: "What do the knobs of Go's runtime give?",
		Cells:    c,
		Tables: []Table{{
			Title: "Garbage collector, compiler, polling", About: about, Base: "GOGC=100", Compare: "cpu",
			Figures: append(slices.Clone(throughput), "gc", "rest_pss"),
		}},
	}
}

// ab is the test of the post "Puma runs on Maglev".
func ab(o Options) Suite {
	step := []Step{{Name: "ab -c 10 -n 5000", Load: load.Plan{Tool: load.AB, Path: "/plaintext", Connections: 10, Requests: 5000, Fresh: true}}}
	spec := with(prefork(2, 4), "--backlog", "512")
	s := Suite{
		Question: "ab -c 10 -n 5000 on two workers with four threads each, as when Puma was tried on Maglev: mean ± standard deviation?",
		Cells:    cells(step, "prefork 2×4", spec, "prefork 2×4 fasthttp", fasthttp(spec), "inprocess 2×4", with(inprocess(2, 4, "queue"), "--backlog", "512"), bareNetHTTP, bare("nethttp")),
		Tables:   []Table{{Title: "A new connection for each request", Base: bareNetHTTP, Compare: "cpu", Figures: []string{"mean", "sd", "p50", "p99", "max", "rate", "cpu"}}},
	}
	o.Workers, o.Threads = 2, 4
	s.Cells = append(s.Cells, o.peers(step)...)
	return s
}
