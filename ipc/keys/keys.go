// Package keys is what workers need to speak TLS: certificates, private keys and session ticket keys. The master reads the
// files, so that a worker needs no right to; they travel in a sealed memfd, because an environment can be read by others and
// a control message is too short. All workers have the same ticket keys, so that a session begun with one resumes with any
// (RFC 8446, 4.6.1).
package keys

import (
	"encoding/json"
	"fmt"

	"github.com/prefork/cluster/ipc"
)

// Keys are those of all binds.
type Keys struct {
	Binds   map[int]Bind `json:"binds"`   // by index of the bind
	Tickets [][]byte     `json:"tickets"` // of 32 bytes, the newest first
}

// Bind is those of one address.
type Bind struct {
	Certificates []Pair `json:"certificates"` // the first one is for clients that name no other
	ClientCA     []byte `json:"client_ca,omitempty"`
	ClientAuth   string `json:"client_auth,omitempty"` // require or request; empty: require if there is a ClientCA
	MinVersion   string `json:"min_version,omitempty"` // 1.2 or 1.3; empty: 1.2
}

// Pair is a certificate chain and its private key, both in PEM.
type Pair struct {
	Certificate []byte `json:"certificate"`
	Key         []byte `json:"key"`
}

// limit bounds what a worker reads, in bytes.
const limit = 16 << 20

// Seal puts them into a memfd.
func (k *Keys) Seal() (*ipc.FD, error) {
	data, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return ipc.NewMemfd("keys", data)
}

// Open reads what Seal has made, and closes the descriptor.
func Open(fd *ipc.FD) (*Keys, error) {
	data, err := ipc.ReadMemfd(fd, limit)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var k Keys
	if err := json.Unmarshal(data, &k); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &k, nil
}
