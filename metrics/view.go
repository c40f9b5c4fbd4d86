package metrics

import (
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/prefork/cluster/ipc/scoreboard"
	"github.com/prefork/cluster/metrics/merge"
	"github.com/prefork/cluster/metrics/rates"
)

// Source is what the master shows of itself. All methods may be called at any time by any goroutine.
type Source interface {
	View() View
	// Queue is the accept queue of a listener; ok is false if it cannot be read. A shared bind is asked for by slot 0.
	Queue(slot, bind int) (waiting, limit int, ok bool)
	// Families are the metrics of the application, sorted by name; the slice is the caller's, the rest is not to be changed. None
	// begins with cluster_.
	Families() []*dto.MetricFamily
}

// View is the supervision's state at one moment.
type View struct {
	Version    string
	Started    time.Time
	Now        int64 // on the clock of the scoreboard, nanoseconds
	Board      *scoreboard.Board
	Slots      int // that have existed; their counters stay
	Wanted     int
	Ready      int // wanted slots served by their own worker
	Generation int
	Stopping   bool
	Workers    []Worker
	States     []string       // every state a worker can have
	Reasons    []string       // every reason for leaving
	Left       [][]int64      // slot × Reasons
	Rollouts   []RolloutCount // every outcome
	Binds      []Bind
	LogDropped int64
	OutputLost []int64               // by slot: lines that workers printed and nobody took
	Time       map[int]rates.Seconds // of requests, by slot; none of a slot in which nobody has been measured
	Pressure   rates.Pressure

	Application Application
}

// Application is what the master says of the metrics of the application.
type Application struct {
	Series    int
	Dropped   int64
	Conflicts map[merge.Conflict]int64
	Failures  map[string]int64 // every reason
}

// Bind is an address that the cluster listens on.
type Bind struct {
	Name   string
	Shared bool // all slots have one listener
}

// Worker is one that is alive. Without a PID it is a slot's state of waiting, or its part of a process that is counted elsewhere.
type Worker struct {
	Slot, Seat, PID, Generation int
	State                       string
	Serves                      bool // it is ready
	Threads                     int
}

// RolloutCount is how many rolling restarts ended so.
type RolloutCount struct {
	Outcome, Reason string
	Count           int64
}

// Healthy is the answer of /readyz: at least one worker serves and the cluster is not stopping.
func (v *View) Healthy() bool { return v.Ready > 0 && !v.Stopping }
