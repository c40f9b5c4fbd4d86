package pool

import "container/list"

// waiter is a request that stands in line. What it waits for comes in one of place and job.
type waiter struct {
	since    int64         // CLOCK_MONOTONIC, nanoseconds
	deadline int64         // the same; of one that goes where its thread is
	line     *list.List    // where it stands; nil: nowhere, it has what it waited for or has left
	at       *list.Element // of the line
	movable  bool          // it can be passed on to a sibling

	place chan Place // of one that goes where its thread is: capacity 1
	job   *job       // of one that a thread takes with its handler
}

// stand puts it in a line, behind those that have waited longer.
func (w *waiter) stand(line *list.List) {
	w.line = line
	for before := line.Back(); before != nil; before = before.Prev() {
		if before.Value.(*waiter).since <= w.since {
			w.at = line.InsertAfter(w, before)
			return
		}
	}
	w.at = line.PushFront(w)
}

// step takes it out of its line.
func (w *waiter) step() {
	w.line.Remove(w.at)
	w.line, w.at = nil, nil
}

// head is who stands at the head of a line; nil if nobody does.
func head(line *list.List) *waiter {
	if at := line.Front(); at != nil {
		return at.Value.(*waiter)
	}
	return nil
}

// earlier is the earlier of two times since when somebody waits, of which 0 says that nobody does.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// headSince is since when the head of a line waits; 0 if nobody stands there.
func headSince(line *list.List) int64 {
	if w := head(line); w != nil {
		return w.since
	}
	return 0
}
