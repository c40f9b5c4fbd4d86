package control

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"github.com/prefork/cluster/master/journal"
)

// peer is who stands at the other end of a connection.
type peer struct {
	uid uint32
	pid int32
	err error // it could not be asked
}

type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerOf(c.(*guest).UnixConn))
}

// onlyOwner refuses whoever is neither the user of the master nor root. The mode of the socket keeps others out already; this
// holds also when somebody has widened it, or handed a connection on.
func (a *API) onlyOwner(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := r.Context().Value(peerKey{}).(peer)
		if p.err == nil && (p.uid == a.owner || p.uid == 0) {
			next.ServeHTTP(w, r)
			return
		}
		err := fmt.Errorf("user %d may not use this control socket: only the user of the master (%d) and root may", p.uid, a.owner)
		if p.err != nil {
			err = fmt.Errorf("who asks is unknown, so it is refused: %w", p.err)
		}
		a.log.Warn("control connection refused: give the socket back its mode 0600", "uid", p.uid, "pid", p.pid, "err", err, "event", journal.ControlRefused)
		w.Header().Set("Connection", "close")
		a.answer(w, http.StatusForbidden, failure(err))
	})
}
