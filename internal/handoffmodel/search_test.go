package handoffmodel

import (
	"fmt"
	"slices"
	"strings"
)

// result of a search.
type result struct {
	states, steps int
	wrong         string // "" if every state is right
	trace         string // how to get there
}

type search struct {
	model
	seen    map[state]uint32
	states  []state
	parents []uint32
	steps   int
	// The graph, to walk it backwards: the steps of state i lead to to[from[i]:from[i+1]].
	from []int
	to   []uint32
}

// explore makes every step from every state that can be reached from the first ones. It ends at the first state that is wrong, by the
// shortest way to one.
func explore(r rules, limit int, first ...state) result {
	x := &search{model: model{rules: r}, seen: map[state]uint32{}}
	for i := range first {
		if wrong := x.visit(&first[i], len(x.states)); wrong != "" {
			return x.end(wrong, len(x.states)-1)
		}
	}
	x.to = x.to[:0]
	for i := 0; i < len(x.states); i++ {
		if len(x.states) > limit {
			return result{states: len(x.states), steps: x.steps, wrong: fmt.Sprintf("more than %d states: the bounds are too wide", limit)}
		}
		s := x.states[i]
		x.from = append(x.from, len(x.to))
		quiet := true
		for _, step := range x.next(&s) {
			x.steps++
			quiet = quiet && step.env
			known := len(x.states)
			if wrong := x.visit(&step.state, i); wrong != "" {
				if len(x.states) == known { // the name of a wrong state is new: it was not searched on
					panic("a wrong state was visited before")
				}
				return x.end(wrong, known)
			}
		}
		if quiet {
			if wrong := x.quiescent(&s); wrong != "" {
				return x.end(wrong, i)
			}
		}
	}
	x.from = append(x.from, len(x.to))
	if i := x.hopeless(); i >= 0 {
		return x.end("from here a request waits for ever", i)
	}
	return result{states: len(x.states), steps: x.steps}
}

func (x *search) visit(s *state, parent int) (wrong string) {
	name := s.smallest()
	i, known := x.seen[name]
	if !known {
		i = uint32(len(x.states))
		x.seen[name] = i
		x.states = append(x.states, name)
		x.parents = append(x.parents, uint32(parent))
		wrong = x.check(&name)
	}
	x.to = append(x.to, i)
	return wrong
}

// check is what holds in every state.
func (x *search) check(s *state) string {
	var runs [workers][threads]byte
	for c := range s.conn {
		conn := &s.conn[c]
		places := int(conn.held) + int(conn.lost)
		for w := range workers {
			if conn.at[w] != nowhere {
				places++
				if !s.lives(w) {
					return fmt.Sprintf("connection %d is in a dead worker", c)
				}
			}
			if conn.at[w] == serving {
				runs[w][conn.thread]++
			}
			for _, p := range s.box[w] {
				if p == packet+byte(c) {
					places++
				}
			}
		}
		if places != 1 {
			return fmt.Sprintf("connection %d is in %d places", c, places)
		}
	}
	for w := range workers {
		for i := range threads {
			n := runs[w][i] + s.local[w][i]
			if n > 1 {
				return fmt.Sprintf("thread %d of worker %d runs %d handlers", i, w, n)
			}
			if s.lives(w) && (n == 1) != (s.word[w][i] == running) {
				return fmt.Sprintf("thread %d of worker %d runs %d handlers, and its word is %d", i, w, n, s.word[w][i])
			}
		}
	}
	return ""
}

// quiescent is what holds in a state in which nothing happens any more unless the environment does something: handlers may run for ever
// in it, and stopped workers may stay stopped.
func (x *search) quiescent(s *state) string {
	for c := range s.conn {
		if s.conn[c].held == 1 {
			for w := range workers {
				if s.eligible(w) {
					return fmt.Sprintf("connection %d stays in the master", c)
				}
			}
		}
	}
	for w := range workers {
		if n := s.length(w); n > 0 && s.sleep[w] != stopped {
			return fmt.Sprintf("%d packets stay in inbox %d", n, w)
		}
		if s.sleep[w] != awake {
			continue
		}
		for i, word := range s.word[w] {
			if word >= reserved && s.lives(w) { // a new worker would expire it
				return fmt.Sprintf("thread %d of worker %d stays reserved", i, w)
			}
		}
		for c := range s.conn {
			conn := &s.conn[c]
			if conn.at[w] != inLine {
				continue
			}
			for t := range workers {
				if s.sleep[t] == awake && s.freeThread(t) >= 0 && (t == w || s.eligible(t) && x.movable(conn)) {
					return fmt.Sprintf("connection %d waits in worker %d, and worker %d has a free thread", c, w, t)
				}
			}
		}
		if s.life[w] == draining {
			for c := range s.conn {
				if s.conn[c].at[w] != idle {
					continue
				}
				for t := range workers {
					if s.sleep[t] == awake && s.eligible(t) {
						return fmt.Sprintf("idle connection %d stays in the draining worker %d, and worker %d is ready", c, w, t)
					}
				}
			}
		}
	}
	return ""
}

// hopeless walks backwards from the states in which nobody waits, and is one that this does not reach, or -1.
func (x *search) hopeless() int {
	n := len(x.states)
	before := make([]int, n+1) // the steps into i come from origins[before[i]:before[i+1]]
	for _, to := range x.to {
		before[to+1]++
	}
	for i := range n {
		before[i+1] += before[i]
	}
	origins := make([]uint32, len(x.to))
	at := slices.Clone(before)
	for i := range n {
		for _, to := range x.to[x.from[i]:x.from[i+1]] {
			origins[at[to]] = uint32(i)
			at[to]++
		}
	}
	good := make([]bool, n)
	var todo []uint32
	for i := range n {
		if x.states[i].nobodyWaits() {
			good[i] = true
			todo = append(todo, uint32(i))
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, o := range origins[before[i]:before[i+1]] {
			if !good[o] {
				good[o] = true
				todo = append(todo, o)
			}
		}
	}
	return slices.Index(good, false)
}

func (s *state) nobodyWaits() bool {
	for c := range s.conn {
		if x := &s.conn[c]; x.request == asked && x.lost == 0 {
			return false
		}
	}
	return true
}

// end tells how state i is reached, with the names that everything had in the first state.
func (x *search) end(wrong string, i int) result {
	way := []int{i}
	for int(x.parents[i]) != i {
		i = int(x.parents[i])
		way = append(way, i)
	}
	slices.Reverse(way)
	s := x.states[way[0]]
	var b strings.Builder
	fmt.Fprint(&b, &s)
	for n, to := range way[1:] {
		steps := slices.Clone(x.next(&s))
		k := slices.IndexFunc(steps, func(step step) bool { return step.state.smallest() == x.states[to] })
		who := fmt.Sprint("worker ", steps[k].w)
		if c := steps[k].c; c >= 0 {
			who += fmt.Sprint(", connection ", c)
		}
		fmt.Fprintf(&b, "%d. %s: %s\n", n+1, who, steps[k].name)
		s = steps[k].state
	}
	fmt.Fprint(&b, &s)
	return result{states: len(x.states), steps: x.steps, wrong: wrong, trace: b.String()}
}
