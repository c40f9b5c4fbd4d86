package sockets

import "time"

// unseenPatience is how long an address may be taken by nobody who can be found. Whoever had it may have left while the
// processes were searched, which takes long on a loaded machine: so the address is always tried again.
const unseenPatience = time.Second

// Patience says how long a start waits for an address that is taken. Workers of a dead master leave by themselves.
type Patience struct {
	orphans time.Time
	unseen  time.Time // since then nobody has been found; zero: somebody was, when it was tried last
}

// NewPatience waits for orphans until the time given.
func NewPatience(orphans time.Time) *Patience { return &Patience{orphans: orphans} }

// Again reports whether the address is worth another attempt. tried is when the last one had its answer.
func (p *Patience) Again(taken *TakenError, tried time.Time) bool {
	if len(taken.Owners) > 0 {
		p.unseen = time.Time{}
		return taken.Orphans() && tried.Before(p.orphans)
	}
	if p.unseen.IsZero() {
		p.unseen = tried
	}
	return tried.Before(p.unseen.Add(unseenPatience))
}
