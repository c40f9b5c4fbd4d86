package keyring

import (
	"time"

	"github.com/prefork/cluster/ipc"
)

const interval = 2 * time.Second // how often the files are looked at

// Update is what became of reading the files anew, or of a new ticket key.
type Update struct {
	Sealed *ipc.FD   // the receiver's to close; nil after an error
	Expiry time.Time // when the first certificate is no longer valid
	Why    string
	Ticket bool // only the ticket keys are new
	Err    error
}

// Seal reads all files and puts what they hold into a memfd.
func (r *Ring) Seal() Update {
	k, err := r.Load()
	if err != nil {
		return Update{Err: err}
	}
	sealed, err := k.Seal()
	return Update{Sealed: sealed, Expiry: Expiry(k), Err: err}
}

// Watch reads the files when they change or when it is told to, and makes new ticket keys, until done is closed. It owns
// the ring meanwhile.
func (r *Ring) Watch(reload <-chan struct{}, done <-chan struct{}, tell func(Update)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		why, ticket := "", false
		select {
		case <-reload:
			why = "reload"
		case now := <-tick.C:
			switch {
			case r.Changed():
				why = "the files have changed"
			case r.Rotate(now):
				why, ticket = "a day has passed", true
			default:
				continue
			}
		case <-done:
			return
		}
		u := r.Seal()
		u.Why, u.Ticket = why, ticket
		tell(u)
	}
}
