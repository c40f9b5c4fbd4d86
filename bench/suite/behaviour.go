package suite

import (
	"fmt"
	"slices"
	"time"

	"github.com/prefork/cluster/bench/load"
)

// tail is about waiting: what a request waits for a thread, beyond the time that it asks for.
func tail(o Options) Suite {
	const mean = 5 * time.Millisecond
	capacity := float64(o.Workers*o.Threads) / mean.Seconds()
	services := []struct {
		name string
		load.Service
	}{
		{"fixed", load.Service{Kind: load.Fixed, Mean: mean}},
		{"exponential", load.Service{Kind: load.Exponential, Mean: mean}},
		{"two-point", load.Service{Kind: load.TwoPoint, Mean: mean, Share: 0.02, Long: 100 * time.Millisecond}},
	}
	loads := []int{50, 70, 85}
	if o.Quick {
		loads = []int{50, 85}
		services = services[:2]
	}
	one := "one process, one queue"
	var steps []Step
	var curves []Table
	for _, s := range services {
		first := len(steps)
		for i, percent := range loads {
			steps = append(steps, Step{
				Name: fmt.Sprintf("%s %d%%", s.name, percent),
				Load: load.Plan{
					Path: "/io", Connections: 2 * o.Connections, Rate: capacity * float64(percent) / 100, Service: s.Service,
					Warmup: o.Warmup, Duration: o.Duration, Seed: uint64(i + 1),
				},
			})
		}
		var names []string
		for _, step := range steps[first:] {
			names = append(names, step.Name)
		}
		for _, percentile := range [][2]string{{"p99", "wait_p99"}, {"p99.9", "wait_p999"}} {
			curves = append(curves, Table{
				Title: percentile[0] + " of waiting, " + s.name + " service", Steps: names, Across: true,
				Base: one, Compare: percentile[1], Figures: percentile[1:],
			})
		}
	}
	few := Step{Name: "fixed 60%, few connections", Load: load.Plan{
		Path: "/io", Connections: o.Workers * o.Threads, Rate: capacity * 0.6, Service: services[0].Service, Warmup: o.Warmup, Duration: o.Duration, Seed: 9,
	}}
	steps = append(steps, few)
	shared := prefork(o.Workers, o.Threads)
	shared.Dispatch = "shared"
	c := cells(steps, one, inprocess(o.Workers, o.Threads, "queue"), "reuseport", prefork(o.Workers, o.Threads), "shared", shared)
	for _, way := range ways("dispatch") {
		if way != "reuseport" && way != "shared" && way != "copied" { // which is about what copying costs: suite dispatch
			spec := prefork(o.Workers, o.Threads)
			spec.Dispatch = way
			c = append(c, cells(steps, way, spec)...)
		}
	}
	return Suite{
		Question: "How long do requests wait for a thread, at half, most and nearly all of what the threads can do?",
		Cells:    append(c, o.peers(steps, "puma", "puma-yjit", "node", "gunicorn")...),
		Tables: append([]Table{{
			Title: "Waiting", Base: one, Compare: "wait_p99",
			Figures: slices.Concat([]string{"wait_p50", "wait_p90", "wait_p99", "wait_p999", "rate", "cpu"}, handedOff, []string{"late"}),
			About: fmt.Sprintf("Open loop, Poisson arrivals, %d connections (%d where few). Waiting is the time from when a request was to be sent to its answer, without the service time that it asked for; mean service 5 ms; two-point: 2%% take 100 ms. 100%% is threads ÷ 5 ms = %.0f a second. nginx serves nothing that waits. ",
				2*o.Connections, o.Workers*o.Threads, capacity) + aboutHandoff,
		}}, curves...),
	}
}

// restart is about what clients notice of what operators do.
func restart(o Options) Suite {
	const rate = 2000
	length := 12 * time.Second
	settle := "1s"
	if o.Quick {
		length, settle = 5*time.Second, "100ms"
	}
	steps := []Step{
		event("nothing", "/plaintext", rate, o.Connections, length/3),
		event("rolling restart", "/plaintext", rate, o.Connections, length, Event{What: "restart", At: 500 * time.Millisecond}),
		event("scale up and down", "/plaintext", rate, o.Connections, length/2, Event{What: "scale +1", At: 500 * time.Millisecond}, Event{What: "scale -1", At: time.Second}),
		event("a worker is killed", "/plaintext", rate, o.Connections, length/2, Event{What: "crash", At: 500 * time.Millisecond}),
	}
	of := size(o.Workers, o.Threads)
	spec := with(prefork(o.Workers, o.Threads), "--settle", settle)
	c := cells(steps, "prefork "+of, spec, "prefork "+of+" fasthttp", fasthttp(spec))
	if !o.Quick {
		c = append(c, cells(steps, "inprocess "+of, with(inprocess(o.Workers, o.Threads, "queue"), "--settle", settle))...)
	}
	return Suite{
		Question: "What do clients notice of rolling restarts, crashes and scaling?",
		Rounds:   3,
		Cells:    c,
		Tables: []Table{{
			Title: "Losses and latency", Figures: []string{"lost", "ok", "p50", "p99", "p999", "max", "event_took"},
			About: fmt.Sprintf("Open loop, %d requests a second of /plaintext over keep-alive connections that are never idle for long. A worker that is killed takes what was written to it along: that is counted, not hidden.", rate),
		}},
	}
}
