package handoffmodel

import (
	"fmt"
	"slices"
)

// rules are bounds, and ways to break the protocol. Without the latter it is that of the ADR, and: whoever waits looks at its
// siblings again from time to time.
type rules struct {
	inbox       int  // packets that an inbox holds
	maxHops     byte // 0: no limit
	removed     bool // nobody sits in a seat again
	descriptors bool // the time between send and close is a state
	// hints are packets of their own. Without them all that they can do is in the model too: whoever waits may look again at any
	// moment, and an inbox may be found full at any moment.
	hints bool

	noTimer        bool // whoever waits does not look at its siblings again
	forgetHint     bool // a hint that comes while the only request looks is ignored
	lookFirst      bool // a request looks for threads before it is seen to wait
	blindClaim     bool // the thread that a packet names is taken without comparing
	noExpiry       bool
	noWithdraw     bool
	noSweepEmpty   bool // the master looks only into the inboxes of stalled workers
	noSweepStalled bool // and only into those of empty seats
	sweepLooks     bool // the master leaves what it passes on in the inbox
	noClear        bool // the master leaves the words of a dead worker
	clearStalled   bool // and clears those of a stalled one
	giveTwice      bool // a thread that is handed over becomes free too
	serveAfterSend bool
	dropWhenFull   bool // the sender closes its descriptor although the inbox was full
}

type step struct {
	name  string
	w, c  int
	env   bool // the environment: it need not happen
	state state
}

// model is a search in progress: what next yields goes to found.
type model struct {
	rules
	found []step
}

func (m *model) do(name string, w, c int, s *state, change func(*state)) {
	m.add(name, w, c, false, s, change)
}

func (m *model) may(name string, w, c int, s *state, change func(*state)) {
	m.add(name, w, c, true, s, change)
}

func (m *model) add(name string, w, c int, env bool, s *state, change func(*state)) {
	m.found = append(m.found, step{name, w, c, env, *s})
	change(&m.found[len(m.found)-1].state)
}

// next is every step that can be made in s.
func (m *model) next(s *state) []step {
	m.found = m.found[:0]
	for w := range workers {
		if s.acts(w) {
			for c := range s.conn {
				m.connection(s, w, c)
			}
			m.receive(s, w)
			m.timer(s, w)
			m.look(s, w)
			m.leave(s, w)
		}
		m.master(s, w)
		m.environment(s, w)
	}
	for c := range s.conn {
		if x := &s.conn[c]; x.held == 1 {
			for w := range workers {
				if s.eligible(w) && s.length(w) < m.inbox {
					m.do("the master passes it on", w, c, s, func(s *state) { s.conn[c].held = 0; s.put(w, packet+byte(c)) })
				}
			}
		}
		if x := &s.conn[c]; x.request == silent && x.lost == 0 {
			m.may("a request comes", -1, c, s, func(s *state) { s.conn[c].request = asked })
		}
	}
	return m.found
}

// waits says whether a connection stands in the line of w, and whether the row shows it.
func (m *model) waits(s *state, w, c int) bool {
	switch pc := s.conn[c].at[w]; pc {
	case looking1, looking2, chosen, kept, sending, back:
		return !m.lookFirst
	case inLine:
		return m.movable(&s.conn[c])
	default:
		return false
	}
}

func (m *model) movable(x *connection) bool { return m.maxHops == 0 || x.hops < m.maxHops }

func (m *model) shown(s *state, w int) bool {
	if !s.lives(w) && s.life[w] != dead && s.life[w] != epochRaised {
		return false
	}
	for c := range s.conn {
		if m.waits(s, w, c) {
			return true
		}
	}
	return false
}

func (m *model) connection(s *state, w, c int) {
	x := &s.conn[c]
	if x.closing>>w&1 == 1 {
		m.do("closes its descriptor", w, c, s, func(s *state) { s.conn[c].closing &^= 1 << w })
	}
	siblings := [2]int{(w + 1) % workers, (w + 2) % workers}
	switch x.at[w] {
	case idle:
		if x.request == asked {
			m.do("sees its request and looks at its own threads", w, c, s, func(s *state) { m.take(s, w, c) })
		}
		if s.life[w] == draining {
			for _, t := range siblings {
				if s.eligible(t) && s.length(t) < m.inbox {
					m.do("chooses where to go", w, c, s, func(s *state) { s.conn[c].at[w], s.conn[c].target = leaving, byte(t) })
				}
			}
		}
	case leaving:
		t := int(x.target)
		m.do("sends an idle connection", w, c, s, func(s *state) { m.send(s, w, c, t, idle, false) })
		if !m.hints {
			m.may("finds the inbox full", w, c, s, func(s *state) { m.send(s, w, c, t, idle, true) })
		}
	case looking1, looking2:
		seen := false
		for n, t := range siblings {
			if x.at[w] == looking2 && n == 0 || !s.eligible(t) || s.freeThread(t) < 0 {
				continue
			}
			if n == 0 {
				seen = true
			}
			seen = seen || x.at[w] == looking2
			for i, word := range s.word[t] {
				if word == free {
					m.do("sees a free thread", w, c, s, func(s *state) {
						x := &s.conn[c]
						x.at[w], x.target, x.thread, x.stale = chosen, byte(t), byte(i), 0
					})
				}
			}
		}
		if !seen {
			m.do("sees none", w, c, s, func(s *state) {
				if x := &s.conn[c]; x.at[w] == looking1 {
					x.at[w] = looking2
				} else {
					m.toLine(s, w, c)
				}
			})
		}
	case chosen:
		t := int(x.target)
		m.do("reserves", w, c, s, func(s *state) {
			x := &s.conn[c]
			i := x.thread
			x.thread = 0
			if s.word[t][i] != free {
				x.at[w], x.target, x.stale = looking1, 0, 0
				return
			}
			x.res = s.newReservation()
			s.word[t][i], x.at[w] = x.res, kept
		})
	case kept:
		m.do("looks at the seat again", w, c, s, func(s *state) {
			x := &s.conn[c]
			x.at[w] = back
			if s.ready[x.target] == 1 && x.stale == 0 {
				x.at[w] = sending
			}
		})
	case sending:
		t := int(x.target)
		m.do("sends", w, c, s, func(s *state) { m.send(s, w, c, t, back, false) })
		if !m.hints {
			m.may("finds the inbox full", w, c, s, func(s *state) { m.send(s, w, c, t, back, true) })
		}
	case back:
		t := int(x.target)
		m.do("withdraws", w, c, s, func(s *state) {
			x := &s.conn[c]
			if i := slices.Index(s.word[t][:], x.res); i >= 0 && !m.noWithdraw {
				s.word[t][i] = free
			}
			x.res, x.target, x.stale = 0, 0, 0
			m.toLine(s, w, c)
		})
	case arrived:
		m.do("claims or arrives", w, c, s, func(s *state) { m.arrive(s, w, c) })
	case serving:
		m.give("its handler returns", w, c, int(x.thread), s, func(s *state) {
			x := &s.conn[c]
			x.at[w], x.thread, x.request, x.hops = idle, 0, answered, 0
		})
	}
}

// take gives a request a thread of its own worker, or makes it wait in line and look at the siblings.
func (m *model) take(s *state, w, c int) {
	x := &s.conn[c]
	for i, word := range s.word[w] {
		if word == free {
			s.run(w, c, i)
			return
		}
	}
	x.at[w] = inLine
	if m.movable(x) {
		x.at[w] = looking1
	}
}

func (m *model) send(s *state, w, c, t int, otherwise byte, full bool) {
	x := &s.conn[c]
	if full || s.length(t) >= m.inbox {
		x.at[w] = otherwise
		if m.dropWhenFull {
			x.at[w], x.target, x.stale = nowhere, 0, 0
		}
		if otherwise == idle {
			x.target = 0
		}
		return
	}
	s.put(t, packet+byte(c))
	x.at[w], x.target, x.stale = nowhere, 0, 0
	if m.descriptors {
		x.closing |= 1 << w
	}
	if m.maxHops > 0 && otherwise == back {
		x.hops++
	}
	if m.serveAfterSend {
		x.at[w] = inLine
	}
	s.again[w] = 0
}

// toLine ends a look that has found nothing. If a hint came meanwhile it begins again.
func (m *model) toLine(s *state, w, c int) {
	s.conn[c].at[w] = inLine
	if s.again[w] == 1 {
		s.again[w] = 0
		s.conn[c].at[w] = looking1
	}
}

func (s *state) newReservation() byte {
	for r := byte(reserved); ; r++ {
		used := false
		for w := range workers {
			used = used || slices.Contains(s.word[w][:], r)
		}
		for c := range s.conn {
			used = used || s.conn[c].res == r
		}
		if !used {
			return r
		}
	}
}

func (m *model) arrive(s *state, w, c int) {
	x := &s.conn[c]
	r := x.res
	x.res = 0
	i := -1
	if r != 0 {
		i = slices.Index(s.word[w][:], r)
	}
	if r != 0 && i < 0 && m.blindClaim {
		i = 0
	}
	if i >= 0 {
		s.run(w, c, i)
		return
	}
	x.at[w] = idle
}

func (s *state) run(w, c, i int) {
	s.word[w][i], s.conn[c].at[w], s.conn[c].thread = running, serving, byte(i)
}

// give is what happens when a handler has returned: the thread goes to one in line, or becomes free, and then somebody will look
// for waiters.
func (m *model) give(name string, w, c, i int, s *state, ends func(*state)) {
	waits := false
	for next := range s.conn {
		if s.conn[next].at[w] != inLine {
			continue
		}
		waits = true
		m.may(name+", the next one runs", w, c, s, func(s *state) {
			ends(s)
			s.run(w, next, i)
			if m.giveTwice {
				s.word[w][i] = free
			}
		})
	}
	if !waits {
		m.may(name, w, c, s, func(s *state) {
			ends(s)
			s.word[w][i] = free
			m.freed(s, w)
		})
	}
}

func (m *model) freed(s *state, w int) {
	if m.hints {
		s.looks[w]++
	}
}

func (m *model) receive(s *state, w int) {
	if s.length(w) == 0 {
		return
	}
	if p := s.box[w][0]; p >= packet {
		c := int(p - packet)
		m.do("receives", w, c, s, func(s *state) {
			s.pop(w)
			s.conn[c].at[w] = arrived
		})
		return
	}
	waits, looks := false, false
	for c := range s.conn {
		x := &s.conn[c]
		looks = looks || x.at[w] >= looking1 && x.at[w] <= back
		if x.at[w] == inLine && m.movable(x) {
			waits = true
			m.do("receives a hint and looks", w, c, s, func(s *state) {
				s.pop(w)
				s.conn[c].at[w] = looking1
			})
		}
	}
	if !waits {
		m.do("receives a hint", w, -1, s, func(s *state) {
			s.pop(w)
			if looks && !m.forgetHint {
				s.again[w] = 1
			}
		})
	}
}

// timer is what a worker does from time to time while a thread of it is reserved or somebody waits.
func (m *model) timer(s *state, w int) {
	for i, word := range s.word[w] {
		if word >= reserved && !m.noExpiry {
			m.do("expires a reservation", w, -1, s, func(s *state) {
				s.word[w][i] = free
				m.freed(s, w)
			})
		}
	}
	for c := range s.conn {
		x := &s.conn[c]
		if x.at[w] != inLine {
			continue
		}
		for i, word := range s.word[w] {
			if word == free {
				m.do("sees a free thread of its own", w, c, s, func(s *state) { s.run(w, c, i) })
			}
		}
		if m.noTimer || !m.movable(x) {
			continue
		}
		for t := range workers { // a look that finds nothing is no step
			if t != w && s.eligible(t) && s.freeThread(t) >= 0 {
				m.do("looks again", w, c, s, func(s *state) { s.conn[c].at[w] = looking1 })
				break
			}
		}
	}
}

// look is what comes after a thread has become free: if nobody waits here, a sibling in which somebody does gets a hint.
func (m *model) look(s *state, w int) {
	if s.looks[w] == 0 {
		return
	}
	found := false
	for t := range workers {
		if t == w || !m.shown(s, t) || s.freeThread(w) < 0 || m.shown(s, w) {
			continue
		}
		found = true
		m.do(fmt.Sprint("sends a hint to ", t), w, -1, s, func(s *state) {
			s.looks[w]--
			if s.length(t) < m.inbox {
				s.put(t, hint)
			}
		})
	}
	if !found {
		m.do("sees nobody wait", w, -1, s, func(s *state) { s.looks[w]-- })
	}
}

// leave: a draining worker exits when it has no connection.
func (m *model) leave(s *state, w int) {
	if s.life[w] != draining || s.local[w] != [threads]byte{} {
		return
	}
	for c := range s.conn {
		if s.conn[c].at[w] != nowhere {
			return
		}
	}
	m.do("exits", w, -1, s, func(s *state) { m.die(s, w) })
}

func (m *model) die(s *state, w int) {
	s.life[w], s.sleep[w], s.looks[w], s.again[w], s.local[w] = dead, awake, 0, 0, [threads]byte{}
	for c := range s.conn {
		x := &s.conn[c]
		x.closing &^= 1 << w
		if x.at[w] == nowhere {
			continue
		}
		request := x.request
		*x = connection{closing: x.closing, request: request, lost: 1}
	}
}

func (m *model) master(s *state, w int) {
	switch s.life[w] {
	case dead:
		m.do("the master reaps it: the epoch rises", w, -1, s, func(s *state) {
			s.life[w] = epochRaised
			for c := range s.conn {
				if x := &s.conn[c]; x.aims() && int(x.target) == w && !slices.Contains(x.at[:], leaving) {
					x.stale = 1
				}
			}
		})
	case epochRaised:
		m.do("the master clears its row", w, -1, s, func(s *state) { s.life[w], s.ready[w] = rowCleared, 0 })
	case rowCleared:
		m.do("the master clears its words", w, -1, s, func(s *state) {
			s.life[w] = empty
			if !m.noClear {
				s.word[w] = [threads]byte{}
			}
		})
	case empty:
		if m.removed {
			break
		}
		m.do("a new worker is ready", w, -1, s, func(s *state) { s.life[w], s.ready[w] = alive, 1 })
	}
	unread := s.life[w] > dead && !m.noSweepEmpty || s.sleep[w] == stalled && !m.noSweepStalled
	if unread && s.length(w) > 0 {
		m.do("the master empties its inbox", w, -1, s, func(s *state) {
			p := s.box[w][0]
			if p >= packet {
				s.conn[p-packet].held = 1
			}
			if p == hint || !m.sweepLooks {
				s.pop(w)
			}
		})
	}
	if s.sleep[w] == stalled && m.clearStalled {
		m.do("the master clears its words", w, -1, s, func(s *state) { s.word[w] = [threads]byte{} })
	}
}

func (m *model) environment(s *state, w int) {
	if s.lives(w) && s.deaths > 0 {
		m.may("is killed", w, -1, s, func(s *state) { s.deaths--; m.die(s, w) })
	}
	switch {
	case s.lives(w) && s.sleep[w] == awake && s.stops > 0:
		m.may("is stopped", w, -1, s, func(s *state) { s.stops--; s.sleep[w] = stopped })
	case s.sleep[w] == stopped:
		m.may("misses heartbeats", w, -1, s, func(s *state) { s.sleep[w] = stalled })
	}
	if s.sleep[w] != awake {
		m.may("is continued", w, -1, s, func(s *state) { s.sleep[w] = awake })
	}
	if s.life[w] == alive && s.sleep[w] == awake && s.drains > 0 {
		m.may("drains", w, -1, s, func(s *state) { s.drains--; s.life[w], s.ready[w] = draining, 0 })
	}
	if !s.acts(w) {
		return
	}
	for i, word := range s.word[w] {
		if word == free && s.begins > 0 && s.life[w] == alive {
			m.may("a local request takes a thread", w, -1, s, func(s *state) {
				s.begins--
				s.word[w][i], s.local[w][i] = running, 1
			})
		}
		if s.local[w][i] == 1 {
			m.give("a local request ends", w, -1, i, s, func(s *state) { s.local[w][i] = 0 })
		}
	}
}
