package master

import (
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/master/sockets"
)

// unseenPatience is how long an address may be taken by nobody who can be found. Whoever had it may have left while the
// processes were searched, which takes long on a loaded machine: so the address is always tried again.
const unseenPatience = time.Second

// bindWait says how long a start waits for an address that is taken. Workers of a dead master leave by themselves.
type bindWait struct {
	orphans time.Time // until then the workers of a dead master have left
	unseen  time.Time // since then nobody has been found; zero: somebody was, when it was tried last
}

func newBindWait(c configs.Config, begun time.Time) *bindWait {
	return &bindWait{orphans: begun.Add(c.OrphanGrace + c.DrainTimeout + time.Second)}
}

// again reports whether the address is worth another attempt. tried is when the last one had its answer.
func (w *bindWait) again(taken *sockets.TakenError, tried time.Time) bool {
	if len(taken.Owners) > 0 {
		w.unseen = time.Time{}
		return taken.Orphans() && tried.Before(w.orphans)
	}
	if w.unseen.IsZero() {
		w.unseen = tried
	}
	return tried.Before(w.unseen.Add(unseenPatience))
}
