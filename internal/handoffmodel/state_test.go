package handoffmodel

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unsafe"
)

const (
	workers = 3
	threads = 2
	room    = 8 // of the array that an inbox is; a scenario says how many packets it may hold
	conns   = 3 // of the array; a scenario may have fewer
)

// Words. Those above are reservations: the number stands for seat, time and nonce.
const (
	free     = 0
	running  = 1
	reserved = 2 // and more
)

// Where the life of a worker is. The master clears a seat in the order of scoreboard.Board.Clear: epoch, row, words.
const (
	alive byte = iota
	draining
	dead
	epochRaised
	rowCleared
	empty
)

// What a stopped worker looks like.
const (
	awake   byte = iota
	stopped      // SIGSTOP
	stalled      // and its heartbeat is old
)

// Where the goroutine of a connection is, in the worker that has it.
const (
	nowhere  byte = iota
	idle          // in Read, nothing to read
	arrived       // just taken from the inbox
	looking1      // none is free: look at the first sibling
	looking2      // and at the second
	chosen        // a free thread was seen in a sibling
	kept          // and reserved
	sending       // and its seat looked at again
	back          // that failed: withdraw
	leaving       // a sibling was chosen for an idle connection of a draining worker
	inLine        // waits for a thread here
	serving
)

// What has become of the one request of a connection.
const (
	silent byte = iota
	asked       // it lies in the socket
	answered
)

type connection struct {
	at      [workers]byte
	closing byte // workers that have sent it and not closed their descriptor yet, as bits
	held    byte // by the master, 1 or 0
	request byte
	lost    byte
	hops    byte
	target  byte // of the pushing worker
	thread  byte // of the target, while it is only chosen; or the one on which the request runs
	res     byte // the reservation, in the sender or in the packet; 0: none. It names its thread too
	stale   byte // 1: the target's epoch is another than when it was chosen
}

// state is one of the whole cluster. It has no pointers: it is compared as bytes.
type state struct {
	word  [workers][threads]byte
	local [workers][threads]byte // 1: the thread runs a request that cannot move
	life  [workers]byte
	ready [workers]byte // what the row says
	sleep [workers]byte
	looks [workers]byte       // goroutines that have freed a thread and will look for waiters
	again [workers]byte       // 1: a hint came while somebody was looking
	box   [workers][room]byte // 0: end, hint, or packet + connection
	conn  [conns]connection
	// What the environment may still do.
	deaths, stops, drains, begins byte
}

const (
	hint   = 1
	packet = 2
)

// raw is the state as bytes.
func (s *state) raw() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(s)), unsafe.Sizeof(*s))
}

func (s *state) length(w int) int {
	n := bytes.IndexByte(s.box[w][:], 0)
	if n < 0 {
		return room
	}
	return n
}

func (s *state) put(w int, p byte) { s.box[w][s.length(w)] = p }

func (s *state) pop(w int) byte {
	p := s.box[w][0]
	copy(s.box[w][:], s.box[w][1:])
	s.box[w][room-1] = 0
	return p
}

func (s *state) lives(w int) bool { return s.life[w] == alive || s.life[w] == draining }
func (s *state) acts(w int) bool  { return s.lives(w) && s.sleep[w] == awake }

// eligible is what a sender sees of a sibling.
func (s *state) eligible(w int) bool { return s.ready[w] == 1 && s.sleep[w] != stalled }

func (s *state) freeThread(w int) int { return slices.Index(s.word[w][:], free) }

// smallest brings a state that differs from others only in names (of the workers by a turn, of threads, of connections, of
// reservations) to one of them. Each of these is a symmetry of the protocol, so nothing is lost by it.
func (s *state) smallest() state {
	best := s.named()
	for turn := 1; turn < workers; turn++ {
		t := s.turned(turn)
		if t = t.named(); bytes.Compare(t.raw(), best.raw()) < 0 {
			best = t
		}
	}
	return best
}

func (s *state) turned(by int) state {
	t := *s
	for w := range workers {
		to := (w + by) % workers
		t.word[to], t.local[to], t.life[to], t.ready[to] = s.word[w], s.local[w], s.life[w], s.ready[w]
		t.sleep[to], t.looks[to], t.again[to], t.box[to] = s.sleep[w], s.looks[w], s.again[w], s.box[w]
		for c := range s.conn {
			t.conn[c].at[to] = s.conn[c].at[w]
		}
	}
	for c := range t.conn {
		x := &t.conn[c]
		x.closing = 0
		for w := range workers {
			x.closing |= s.conn[c].closing >> w & 1 << ((w + by) % workers)
		}
		if x.aims() {
			x.target = byte((int(x.target) + by) % workers)
		}
	}
	return t
}

// aims says whether target means anything.
func (x *connection) aims() bool {
	for _, pc := range x.at {
		if pc >= chosen && pc <= leaving {
			return true
		}
	}
	return false
}

func (s *state) named() state {
	t := *s
	// Threads: in the order of what they do.
	for w := range workers {
		if key(&t, w, 0) <= key(&t, w, 1) {
			continue
		}
		t.word[w][0], t.word[w][1] = t.word[w][1], t.word[w][0]
		t.local[w][0], t.local[w][1] = t.local[w][1], t.local[w][0]
		for c := range t.conn {
			if x := &t.conn[c]; x.at[w] == serving || int(x.target) == w && slices.Contains(x.at[:], chosen) {
				x.thread ^= 1
			}
		}
	}
	// Connections: in the order of their bytes.
	order := [conns]int{}
	for c := range order {
		order[c] = c
	}
	slices.SortStableFunc(order[:], func(a, b int) int { return compare(&t.conn[a], &t.conn[b]) })
	u := t
	var now [conns]byte
	for to, from := range order {
		u.conn[to] = t.conn[from]
		now[from] = byte(to)
	}
	for w := range workers {
		for i, p := range u.box[w] {
			if p >= packet {
				u.box[w][i] = packet + now[p-packet]
			}
		}
	}
	// Reservations: in the order in which they are found.
	var names [64]byte
	next := byte(reserved)
	name := func(r *byte) {
		if *r < reserved {
			return
		}
		if names[*r] == 0 {
			names[*r] = next
			next++
		}
		*r = names[*r]
	}
	for w := range workers {
		for i := range threads {
			name(&u.word[w][i])
		}
	}
	for c := range u.conn {
		name(&u.conn[c].res)
	}
	return u
}

func key(s *state, w, i int) byte { return min(s.word[w][i], reserved)<<1 | s.local[w][i] }

func compare(a, b *connection) int {
	x, y := *a, *b
	x.res, y.res = min(x.res, reserved), min(y.res, reserved)
	const n = unsafe.Sizeof(x)
	return bytes.Compare((*[n]byte)(unsafe.Pointer(&x))[:], (*[n]byte)(unsafe.Pointer(&y))[:])
}

func (s *state) String() string {
	var b strings.Builder
	lives := [...]string{"alive", "draining", "dead", "epoch raised", "row cleared", "empty"}
	sleeps := [...]string{"", " stopped", " stalled"}
	for w := range workers {
		fmt.Fprintf(&b, "  %d %s%s: words", w, lives[s.life[w]], sleeps[s.sleep[w]])
		for i, word := range s.word[w] {
			switch {
			case word == free:
				b.WriteString(" free")
			case word == running && s.local[w][i] == 1:
				b.WriteString(" running(local)")
			case word == running:
				b.WriteString(" running")
			default:
				fmt.Fprintf(&b, " reserved(%d)", word)
			}
		}
		fmt.Fprintf(&b, ", inbox %v, %d looks\n", s.box[w][:s.length(w)], s.looks[w])
	}
	places := [...]string{"", "idle", "arrived", "looking1", "looking2", "chosen", "kept", "sending", "back", "leaving", "in line", "serving"}
	for c, x := range s.conn {
		fmt.Fprintf(&b, "  connection %d:", c)
		for w, pc := range x.at {
			if pc != nowhere {
				fmt.Fprintf(&b, " %s in %d", places[pc], w)
			}
		}
		fmt.Fprintf(&b, ", %s", [...]string{"silent", "asked", "answered"}[x.request])
		if x.aims() {
			fmt.Fprintf(&b, ", target %d", x.target)
		}
		fmt.Fprintf(&b, ", reservation %d, stale %d, held %d, lost %d, hops %d\n", x.res, x.stale, x.held, x.lost, x.hops)
	}
	return b.String()
}
