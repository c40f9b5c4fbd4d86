// Package keyring reads certificates and private keys for the workers, sees when their files change, and makes the session
// ticket keys that all workers share.
package keyring

import (
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/prefork/cluster/configs"
	"github.com/prefork/cluster/ipc/keys"
)

// Like crypto/tls, which does the same within one process: a new ticket key a day, and a ticket lives for a week.
const (
	ticketRotation = 24 * time.Hour
	ticketKeys     = 7
)

// Ring is the keys of a cluster. It is used by one goroutine at a time.
type Ring struct {
	binds   []configs.Bind
	tickets [][]byte
	rotated time.Time
	seen    map[string]stamp // of the files, when they were read last
}

// stamp tells one content of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
	inode    os.FileInfo
}

// New makes the ring of a cluster, with a first ticket key. It is nil if no bind speaks TLS.
func New(binds []configs.Bind, now time.Time) *Ring {
	for _, b := range binds {
		if b.Scheme == "tls" {
			r := &Ring{binds: binds}
			r.addTicket(now)
			return r
		}
	}
	return nil
}

func (r *Ring) addTicket(now time.Time) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	r.tickets = append([][]byte{key}, r.tickets[:min(len(r.tickets), ticketKeys-1)]...)
	r.rotated = now
}

// Rotate makes a new ticket key if the newest one is old, and says whether it did.
func (r *Ring) Rotate(now time.Time) bool {
	if now.Sub(r.rotated) < ticketRotation {
		return false
	}
	r.addTicket(now)
	return true
}

// Load reads all files and checks that each certificate fits its key. After an error nothing has changed.
func (r *Ring) Load() (*keys.Keys, error) {
	k := &keys.Keys{Binds: map[int]keys.Bind{}, Tickets: r.tickets}
	seen := map[string]stamp{}
	for i, b := range r.binds {
		if b.Scheme != "tls" {
			continue
		}
		one, err := load(b, seen)
		if err != nil {
			r.seen = seen // what is broken is looked at again when it has changed, not all the time
			return nil, fmt.Errorf("cannot serve %s: %w", b.Plain(), err)
		}
		k.Binds[i] = one
	}
	r.seen = seen
	return k, nil
}

func load(b configs.Bind, seen map[string]stamp) (keys.Bind, error) {
	one := keys.Bind{ClientAuth: b.ClientAuth, MinVersion: b.MinVersion}
	for _, c := range b.Certificates {
		certificate, err := read(c.File, seen)
		if err != nil {
			return one, fmt.Errorf("certificate: %w", err)
		}
		key, err := read(c.Key, seen)
		if err != nil {
			return one, fmt.Errorf("key: %w", err)
		}
		if _, err := (keys.Bind{Certificates: []keys.Pair{{Certificate: certificate, Key: key}}}).Config(); err != nil {
			return one, fmt.Errorf("%s and %s: %w", c.File, c.Key, err)
		}
		one.Certificates = append(one.Certificates, keys.Pair{Certificate: certificate, Key: key})
	}
	if b.ClientCA != "" {
		ca, err := read(b.ClientCA, seen)
		if err != nil {
			return one, fmt.Errorf("client-ca: %w", err)
		}
		one.ClientCA = ca
	}
	if _, err := one.Config(); err != nil {
		return one, fmt.Errorf("client-ca %s: %w", b.ClientCA, err) // the rest has been tried
	}
	return one, nil
}

func read(path string, seen map[string]stamp) ([]byte, error) {
	seen[path] = stampOf(path)
	return os.ReadFile(path)
}

func stampOf(path string) stamp {
	info, err := os.Stat(path) // follows links: a mounted secret is replaced by turning one
	if err != nil {
		return stamp{}
	}
	return stamp{modified: info.ModTime(), size: info.Size(), inode: info}
}

// Changed says whether a file is another one than was read last.
func (r *Ring) Changed() bool {
	for path, was := range r.seen {
		is := stampOf(path)
		if !is.modified.Equal(was.modified) || is.size != was.size || (is.inode == nil) != (was.inode == nil) ||
			is.inode != nil && !os.SameFile(is.inode, was.inode) {
			return true
		}
	}
	return false
}

// Expiry is when the first of the certificates in use is no longer valid; zero if there is none.
func Expiry(k *keys.Keys) time.Time {
	var first time.Time
	for _, b := range k.Binds {
		config, err := b.Config()
		if err != nil {
			continue
		}
		for _, c := range config.Certificates {
			leaf := c.Leaf
			if leaf == nil {
				leaf, _ = x509.ParseCertificate(c.Certificate[0])
			}
			if leaf != nil && (first.IsZero() || leaf.NotAfter.Before(first)) {
				first = leaf.NotAfter
			}
		}
	}
	return first
}
