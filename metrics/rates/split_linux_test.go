package rates

import "testing"

// load is clients that ask for a path, each again as soon as it has its answer.
type load struct {
	clients int
	path    string
}

// Each part is made the largest in turn, in real processes. A verdict is waited for: on a machine that does other things too, a window may
// say something else. Those that need the CPUs run one after the other, for they would disturb each other.
func TestWhereTheTimeGoes(t *testing.T) {
	for _, test := range []struct {
		name    string
		workers setup
		loads   []load
		part    string
		share   float64 // at least
		alone   bool
	}{
		{"queue", setup{workers: 1, threads: 1, procs: 2}, []load{{8, "/io?ms=5"}}, Queue, 0.5, false},
		{"io", setup{workers: 1, threads: 4, procs: 2}, []load{{2, "/io?ms=20"}}, IO, 0.5, false},
		{"in process", setup{workers: 2, threads: 1, procs: 2, together: true}, []load{{2, "/io?ms=20"}}, IO, 0.5, false},
		{"cpu", setup{workers: 1, threads: 2, procs: 1}, []load{{1, "/cpu?n=32"}}, CPU, 0.5, true},
		{"gc", setup{workers: 1, threads: 2, procs: 1}, []load{{1, "/garbage"}}, GC, 0.25, true},
		// Requests that fit into a turn of the scheduler wait before they are read, longer ones between their turns too.
		{"scheduler", setup{workers: 1, threads: 6, procs: 1}, []load{{6, "/cpu?n=30"}}, Scheduler, 0.5, true},
		{"timers beside hogs", setup{workers: 1, threads: 4, procs: 1}, []load{{3, "/cpu?n=36"}, {1, "/io?ms=5"}}, Scheduler, 0.5, true},
		{"system calls beside a hog", setup{workers: 1, threads: 3, procs: 1}, []load{{1, "/cpu?n=36"}, {2, "/io_native?ms=5"}}, Scheduler, 0.5, true},
		{"run queue", setup{workers: 8, threads: 1, procs: 1}, []load{{1, "/cpu?n=30"}}, RunQueue, 0.5, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !test.alone {
				t.Parallel()
			}
			f := newFleet(t, test.workers)
			for _, l := range test.loads {
				f.ask(l)
			}
			var got Measured
			defer func() { t.Logf("%.1f s, %.1f in flight: %v", got.All.Window, got.All.Time.InFlight, got.All.Time) }()
			f.until("it is "+test.part, func() bool {
				got = f.measure()
				return got.All.Window >= f.window.Seconds() && got.All.Time.Parts[0].Name == test.part && got.All.Time.Parts[0].Share > test.share
			})
			for _, p := range f.alive {
				own := got.Of(p.PID)
				if first := own.Time.Parts[0]; len(f.alive) == 1 && first.Name != test.part || own.CPUs == 0 {
					t.Errorf("pid %d: %+v", p.PID, own)
				}
			}
		})
	}
}
