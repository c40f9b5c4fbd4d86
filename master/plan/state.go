package plan

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc"
)

// What the supervision waits for that is no setting.
const (
	healthyAfter = 10 * time.Second // so long ready, and earlier failures of the slot are forgotten
	backoffBase  = 100 * time.Millisecond
	backoffCap   = 30 * time.Second
	bootAttempts = 3 // exits before ready, in every slot, after which a start has failed
	deathsKept   = 5 // a slot
)

// Cluster is everything the loop knows. Only the loop's goroutine touches it.
type Cluster struct {
	Config  configs.Config
	Started time.Time
	random  *rand.Rand

	Wanted int // slots
	Slots  []Slot
	Spawns uint64

	Target int          // the generation every slot is to run
	Good   int          // the newest generation that has passed its probation everywhere
	Newest int          // the highest number given
	Failed map[int]bool // generations that were taken back

	Rollouts []*Rollout // the last ones; the last of them may be running
	Renewals []Renewal  // those that go on, in the order in which they were asked for, and the last ones before
	renewals int        // the highest number given

	EverReady bool
	Fronted   bool // a front is there: it leaves before the workers do
	Stopping  bool
	DrainFrom time.Time // of one that stops: until then all is served as before; zero: workers drain
	forced    bool
	ExitCode  int
	StopWhy   string
}

// Slot is a stable place of a worker. Old and new overlap in its two seats.
type Slot struct {
	Seats    [2]Seat
	Opened   bool // its listeners exist
	Failures int  // in a row
	Boots    int  // exits before ready, until one has been ready
	Deaths   []Death
	Left     [reasons]int64 // workers that left, by reason
}

// Seat is a place in the scoreboard, and the worker in it.
type Seat struct {
	State      State
	Spawn      uint64 // tells the workers of a seat apart
	PID        int
	Generation int
	Since      time.Time // of the state
	SpawnedAt  time.Time
	ReadyAt    time.Time // zero if it has never been ready
	Settled    bool
	Reason     Reason // why it drains
	Detail     string // the same for a person
	Asked      bool   // of a draining one: the master wants it to leave, not it itself
	Acked      bool   // it accepts no more
	Stalled    bool   // its heartbeat is late
	ladder     []rung
	ladderFrom time.Time
	Rung       int       // the next one
	Until      time.Time // of a waiting seat: not before
	Adopted    map[int]bool
}

// Alive reports whether a process is in the seat.
func (k *Seat) Alive() bool { return k.State == Starting || k.State == Ready || k.State == Draining }

// Reliable reports whether the worker in the seat has settled and answers.
func (k *Seat) Reliable() bool { return k.State == Ready && k.Settled && !k.Stalled }

// Death is how a worker left that was not told to, or did not leave as told.
type Death struct {
	Time       time.Time `json:"time"`
	PID        int       `json:"pid"`
	Generation int       `json:"generation"`
	Reason     string    `json:"reason"`
	Detail     string    `json:"detail"`
	Open       int64     `json:"open_connections"` // that it had when it died
	Uptime     float64   `json:"uptime_seconds"`
}

// SeatID names a worker: the seat, and which of its workers. It is what messages, exits and actions carry.
type SeatID struct {
	Slot, Side int
	Spawn      uint64
}

func (id SeatID) Seat() int { return 2*id.Slot + id.Side }

func New(c configs.Config, now time.Time) *Cluster {
	s := &Cluster{Config: c, Started: now, Wanted: c.Processes(), Target: 1, Good: 1, Newest: 1, Failed: map[int]bool{}, random: rand.New(rand.NewPCG(uint64(now.UnixNano()), 1))}
	s.grow()
	return s
}

// grow makes room for the wanted slots. Slots are never taken away: their listeners and counters stay.
func (s *Cluster) grow() {
	for len(s.Slots) < s.Wanted {
		s.Slots = append(s.Slots, Slot{})
	}
}

func (s *Cluster) At(id SeatID) *Seat { return &s.Slots[id.Slot].Seats[id.Side] }

// Current is the seat of a worker, or nil if that worker has left it.
func (s *Cluster) Current(id SeatID) *Seat {
	if id.Slot >= len(s.Slots) {
		return nil
	}
	if k := s.At(id); k.Alive() && k.Spawn == id.Spawn {
		return k
	}
	return nil
}

// Happening carries what a trigger has to say.
type Happening struct {
	Spawn      uint64
	PID        int
	Generation int
	Protocol   ipc.Protocol
	Reason     Reason
	Detail     string
	Status     ExitStatus
	Open       int64
}

// Trigger moves a seat through the table. It returns an error for a cell that cannot be reached.
func (s *Cluster) Trigger(id SeatID, t Trigger, h Happening, now time.Time) error {
	k := s.At(id)
	cell := table[k.State][t]
	from := k.State
	if cell.effect == impossible || cell.effect == undefined {
		return fmt.Errorf("slot %d seat %d is %v: %v cannot happen to it", id.Slot, id.Seat(), k.State, t)
	}
	if cell.next != k.State {
		k.State, k.Since = cell.next, now
	}
	switch cell.effect {
	case occupy:
		*k = Seat{State: Starting, Spawn: h.Spawn, PID: h.PID, Generation: h.Generation, Since: now, SpawnedAt: now, Adopted: map[int]bool{}}
	case failToSpawn:
		*k = Seat{State: Waiting, Spawn: h.Spawn, Generation: h.Generation, Since: now, SpawnedAt: now}
		s.leave(id, BootExit, h.Detail, h, now)
	case greet:
		if _, ok := h.Protocol.Common(ipc.Spoken); !ok {
			return s.condemn(id, BootExit, fmt.Sprintf("it speaks versions %v of the control protocol, this master %v: build both from the same release", h.Protocol, ipc.Spoken), now, now)
		}
	case becomeReady:
		k.ReadyAt, k.Settled = now, s.Config.Settle == 0
		s.EverReady = true
		s.Slots[id.Slot].Boots = 0
	case leaveItself:
		k.Acked, k.Reason, k.Detail = true, Signal, "it was told to leave by a signal from outside"
		if k.ReadyAt.IsZero() {
			k.Reason, k.Detail = BootExit, "it began to leave before it was ready"
		}
		k.ladder, k.ladderFrom, k.Rung = drainLadder(s.Config.DrainTimeout), now, 1
		clear(k.Adopted)
		if !k.Settled {
			s.judge(k, k.Reason, k.Detail, now)
		}
	case acknowledge:
		k.Acked = true
	case climb:
		k.Reason, k.Detail, k.Asked = h.Reason, h.Detail, true
		k.Acked = k.ReadyAt.IsZero() // it has not begun to accept
		k.ladder, k.ladderFrom, k.Rung = drainLadder(s.Config.DrainTimeout), now, 0
		clear(k.Adopted)
	case execute:
		k.Reason, k.Detail, k.Asked = h.Reason, h.Detail, true
		k.Acked = k.Acked || k.ReadyAt.IsZero()
		k.ladder, k.ladderFrom, k.Rung = killLadder(), now, 0
		clear(k.Adopted)
	case vacate:
		k.State = from // leave judges by what it was
		reason, detail := s.WhyLeft(k, h.Status)
		s.leave(id, reason, detail, h, now)
	}
	return nil
}

// condemn starts to kill a worker that has failed.
func (s *Cluster) condemn(id SeatID, r Reason, detail string, failed, now time.Time) error {
	if k := s.At(id); k.State != Draining {
		s.judge(k, r, detail, failed)
	}
	return s.Trigger(id, Condemned, Happening{Reason: r, Detail: detail}, now)
}

// WhyLeft finds the reason of an exit: what the master wanted explains it, else how far the worker had come.
func (s *Cluster) WhyLeft(k *Seat, status ExitStatus) (Reason, string) {
	switch {
	case k.State == Draining && k.Rung > 1 && (!k.Asked || !k.Reason.Failure()):
		return DrainTimeout, fmt.Sprintf("it had not left %v after it was told to (%v) and was killed", k.ladder[k.Rung-1].after, k.Reason)
	case k.State == Draining:
		return k.Reason, k.Detail
	case k.State == Starting:
		return BootExit, "it exited before it was ready: " + status.String()
	case status.OOM:
		return OOM, "the kernel killed it because memory ran out"
	case status.Signal != 0:
		return Signal, status.String()
	}
	return Crash, status.String()
}

// leave empties a seat and decides what its worker's end means for the slot and for a restart.
func (s *Cluster) leave(id SeatID, r Reason, detail string, h Happening, now time.Time) {
	k, sl := s.At(id), &s.Slots[id.Slot]
	old := *k
	sl.Left[r]++
	healthy := !old.ReadyAt.IsZero() && now.Sub(old.ReadyAt) >= healthyAfter
	selfInflicted := old.State == Draining && !old.Asked && healthy
	if old.ReadyAt.IsZero() && r.Failure() {
		sl.Boots++
	}
	failure := r.Failure() && !selfInflicted
	// One that breaks while it drains takes its last connections along: it leaves as wished, but not in order.
	broke := old.State == Draining && !s.forced && (h.Status.Code != 0 || h.Status.Signal != 0)
	if broke && !failure && r != DrainTimeout {
		detail += "; it broke meanwhile: " + h.Status.String()
	}
	if failure || r == DrainTimeout || broke {
		uptime := now.Sub(old.SpawnedAt)
		sl.Deaths = append(sl.Deaths, Death{Time: now, PID: old.PID, Generation: old.Generation, Reason: r.String(), Detail: detail, Open: h.Open, Uptime: uptime.Seconds()})
		sl.Deaths = sl.Deaths[max(0, len(sl.Deaths)-deathsKept):]
	}
	*k = Seat{State: Empty, Spawn: old.Spawn, Since: now}
	if !failure {
		return
	}
	k.State = Waiting
	if healthy {
		sl.Failures = 0
	}
	sl.Failures++
	s.newcomerFailed(SeatID{id.Slot, id.Side, old.Spawn}, old.Generation, detail, now)
	k.Until = now.Add(s.backoff(sl.Failures))
	if old.State != Draining { // else it was judged when it was condemned
		s.judge(&old, r, detail, now)
	}
	if s.Failed[old.Generation] {
		// The generation was to blame, and the slot will not run it again.
		sl.Failures, k.Until = 0, now
	}
}

// backoff is how long a slot waits after its n-th failure in a row: not at all after the first, then 100 ms doubling up to
// 30 s, shortened by up to a quarter at random so that slots do not come back together.
func (s *Cluster) backoff(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	d := min(backoffBase<<min(n-2, 20), backoffCap)
	return d - time.Duration(s.random.Int64N(int64(d/4)+1))
}

// Scale sets the number of slots; the highest ones go.
func (s *Cluster) Scale(n int) {
	s.Wanted = n
	s.grow()
}

// Heard takes in how old the heartbeats are.
func (s *Cluster) Heard(ages map[SeatID]time.Duration, now time.Time) {
	for id, age := range ages {
		k := s.Current(id)
		if k == nil || k.State != Ready && k.State != Draining || k.ReadyAt.IsZero() {
			continue
		}
		k.Stalled = age > stalledAfter
		beingKilled := k.State == Draining && (k.Reason.Failure() || k.Rung >= len(k.ladder)-1)
		if age > s.Config.HeartbeatTimeout && !beingKilled {
			_ = s.condemn(id, Heartbeat, fmt.Sprintf("no heartbeat for %v: no Go code runs or no request is dispatched", age.Round(100*time.Millisecond)), now.Add(-age), now)
		}
	}
}

// stalledAfter: a worker whose heartbeat is older serves nobody for now, and others serve its listeners.
const stalledAfter = 2 * time.Second
