package master

import (
	"log/slog"
	"time"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/master/keyring"
)

const (
	keysInterval = 2 * time.Second // how often the files of certificates are looked at
	expiryNotice = 14 * 24 * time.Hour
)

// keysEvent: certificates were read anew, or could not be.
type keysEvent struct {
	sealed *ipc.FD // the loop's to close
	expiry time.Time
	why    string
	err    error
}

func (keysEvent) isEvent() {}

// watchKeys reads the certificates when their files change or when it is told to, and makes new ticket keys.
func watchKeys(ring *keyring.Ring, reload <-chan struct{}, emit func(event), done <-chan struct{}) {
	tick := time.NewTicker(keysInterval)
	defer tick.Stop()
	for {
		var why string
		select {
		case <-reload:
			why = "reload"
		case now := <-tick.C:
			switch {
			case ring.Changed():
				why = "files changed"
			case ring.Rotate(now):
				why = "new ticket key"
			default:
				continue
			}
		case <-done:
			return
		}
		sealed, expiry, err := sealKeys(ring)
		emit(keysEvent{sealed: sealed, expiry: expiry, why: why, err: err})
	}
}

func sealKeys(ring *keyring.Ring) (*ipc.FD, time.Time, error) {
	k, err := ring.Load()
	if err != nil {
		return nil, time.Time{}, err
	}
	sealed, err := k.Seal()
	return sealed, keyring.Expiry(k), err
}

// newKeys hands keys to all workers; those to come get them at their start. Broken files change nothing.
func (l *loop) newKeys(ev keysEvent) {
	if ev.err != nil {
		l.log.Error("certificates cannot be read: the old ones stay in use", "err", ev.err)
		return
	}
	l.system.setKeys(ev.sealed)
	for id := range l.state.Workers() {
		if err := l.system.giveKeys(id); err != nil {
			l.worker(slog.LevelWarn, "worker cannot be given certificates", id, "err", err)
		}
	}
	if ev.why == "new ticket key" {
		return
	}
	l.log.Info("certificates read", "why", ev.why, "expire", ev.expiry.UTC().Format(time.RFC3339))
	warnOfExpiry(l.log, ev.expiry, time.Now())
}

func warnOfExpiry(log *slog.Logger, expiry, now time.Time) {
	if !expiry.IsZero() && expiry.Sub(now) < expiryNotice {
		log.Warn("a certificate expires soon, or has expired: put a new one in its place, it is read at once", "expires", expiry.UTC().Format(time.RFC3339))
	}
}
