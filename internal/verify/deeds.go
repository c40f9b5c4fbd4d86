package verify

import (
	"slices"
	"time"
)

const (
	maxBatch = 8
	longest  = 20 * time.Millisecond // that a handler waits
)

// chat makes one exchange on the connection that the client keeps.
func (c *client) chat(doing string, batch func(*conn) []*request, cut ...func(length int) int) {
	k := c.keep(doing)
	if k == nil {
		return
	}
	requests := batch(k)
	var cuts []int
	for _, f := range cut {
		length := 0
		for _, q := range requests {
			length += len(q.head(c.Addr)) + len(q.coded())
		}
		cuts = append(cuts, f(length))
	}
	slices.Sort(cuts)
	if !c.exchange(k, doing, requests, cuts...) {
		c.kept = nil
	}
}

// small is a batch of so many requests with small bodies, some of percent of which wait in the handler.
func (c *client) small(k *conn, n, percent int) []*request {
	batch := make([]*request, n)
	for i := range batch {
		q := c.ask(k)
		most := 200
		if c.often(10) {
			most = 6000 // more than a buffer of an engine
		}
		switch c.dice.IntN(4) {
		case 0:
			q.body = Pattern(q.ID, c.dice.IntN(most))
		case 1:
			q.body = Pattern(q.ID, 1+c.dice.IntN(most))
			q.chunk = 1 + c.dice.IntN(len(q.body))
		default:
			q.Answer = c.dice.IntN(most)
		}
		q.Stream = c.often(10)
		if c.often(percent) {
			q.Wait = c.between(time.Millisecond, longest)
		}
		batch[i] = q
	}
	return batch
}

func (c *client) askPlainly() {
	n := 1
	if c.often(70) {
		n = 2 + c.dice.IntN(maxBatch-1)
	}
	c.chat("asking", func(k *conn) []*request { return c.small(k, n, 2) })
}

// askInBurst asks at the same moment as others, with handlers that wait, so that all threads are busy.
func (c *client) askInBurst() {
	<-c.nextBurst()
	c.chat("asking in a burst", func(k *conn) []*request { return c.small(k, 1, 30) })
}

// askSplit lets a request arrive in two parts, and sometimes two requests that were cut anywhere.
func (c *client) askSplit() {
	if c.often(20) {
		anywhere := func(length int) int { return 1 + c.dice.IntN(length-1) }
		c.chat("asking in three parts", func(k *conn) []*request { return c.small(k, 2, 2) }, anywhere, anywhere)
		return
	}
	i := c.dice.IntN(len(kinds))
	c.chat("asking in two parts", func(k *conn) []*request {
		q := c.ask(k)
		kinds[i].make(q)
		return []*request{q}
	}, c.splits[i].next)
}

// askForLarge moves up to some 100 KB one way or both.
func (c *client) askForLarge() {
	large := func(k *conn) []*request {
		q := c.ask(k)
		size := 1 + c.dice.IntN(120<<10)
		switch c.dice.IntN(3) {
		case 0:
			q.body = Pattern(q.ID, size)
		case 1:
			q.body, q.chunk = Pattern(q.ID, size), 1+c.dice.IntN(20<<10)
		default:
			q.Answer = size
		}
		q.Stream, q.slowly = c.often(30), c.often(20)
		return []*request{q}
	}
	if c.often(90) {
		c.chat("moving much", large)
		return
	}
	k := c.connect("reading slowly")
	if k == nil {
		return
	}
	_ = k.SetReadBuffer(4 << 10) // fails only on a closed connection
	q := c.ask(k)
	q.Answer, q.Stream, q.slowly = 200<<10, c.often(50), true
	if c.exchange(k, "reading slowly", []*request{q}) {
		k.leave(c)
	}
}

func (c *client) askExpecting() {
	c.chat("asking with Expect: 100-continue", func(k *conn) []*request {
		q := c.ask(k)
		q.body, q.expect = Pattern(q.ID, 1+c.dice.IntN(20<<10)), true
		if c.often(50) {
			q.chunk = 1 + c.dice.IntN(4<<10)
		}
		return []*request{q}
	})
}

// askOnce asks on a connection of its own, which the server is told to close.
func (c *client) askOnce() {
	k := c.connect("asking once")
	if k == nil {
		return
	}
	batch := c.small(k, 1, 5)
	batch[0].option = "close"
	c.exchange(k, "asking once", batch)
}

// askByHTTP10 asks as clients did before connections were kept, and as some do who keep them.
func (c *client) askByHTTP10() {
	k := c.connect("asking by HTTP/1.0")
	if k == nil {
		return
	}
	for open, n := true, 1+c.dice.IntN(3); open; n-- {
		q := c.ask(k)
		q.old = true
		if c.often(50) {
			q.body = Pattern(q.ID, 1+c.dice.IntN(2000))
		}
		if n > 1 {
			q.option = "keep-alive"
		}
		open = c.exchange(k, "asking by HTTP/1.0", []*request{q})
	}
}

// fallSilent lets the kept connection be idle for a while.
func (c *client) fallSilent() { time.Sleep(c.between(10*time.Millisecond, 500*time.Millisecond)) }

// leaveRudely leaves at some stage of a conversation: stage 0 before a byte, 1 within the head, 2 within the body, 3 while the
// answer is awaited, 4 within the answer, 5 between two requests.
func (c *client) leaveRudely() {
	const doing = "leaving rudely"
	k := c.connect(doing)
	if k == nil {
		return
	}
	stage := c.dice.IntN(6)
	before := c.dice.IntN(3)
	if stage == 5 {
		before++
	}
	for range before {
		if !c.exchange(k, doing, c.small(k, 1, 5)) || !c.silent(k, doing) {
			return
		}
	}
	if 0 < stage && stage < 5 && !c.walkOut(k, stage) {
		return
	}
	if c.often(50) {
		k.reset()
		return
	}
	_ = k.Close()
}

// walkOut begins a request that the client will not see through.
func (c *client) walkOut(k *conn, stage int) bool {
	q := c.ask(k)
	q.body = Pattern(q.ID, 1+c.dice.IntN(4000))
	if stage == 4 {
		q.body, q.Answer = nil, 100<<10
	} else {
		q.Wait = c.between(time.Millisecond, longest)
	}
	text := q.head(c.Addr)
	switch stage {
	case 1:
		text = text[:1+c.dice.IntN(len(text)-1)]
	case 2:
		text = append(text, q.body[:c.dice.IntN(len(q.body))]...)
	default:
		text = append(text, q.body...)
	}
	began := time.Now()
	f := Fault{Fate: Left, ID: q.ID, Doing: "leaving rudely"}
	_ = k.SetDeadline(began.Add(c.Timeout))
	k.got, k.err = 0, nil
	if _, err := k.Write(text); err != nil {
		f.Fate, f.Err = unwritten(err), err
	} else if stage == 4 {
		if _, err := k.in.Discard(1 + c.dice.IntN(50<<10)); err != nil {
			f.Fate, f.Err = k.failed(err)
		}
	}
	f.Lasted = time.Since(began)
	c.note(k, f)
	if f.Err != nil {
		_ = k.Close()
		return false
	}
	time.Sleep(c.between(0, 3*time.Millisecond))
	return true
}
