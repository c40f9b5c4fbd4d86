// Package peers knows the other servers that clusters are measured beside: how each is installed, configured and started,
// from descriptions in YAML, those in the binary and those of a user.
//
// Invariant: a description that was read can be started. Its keys, its values and its templates have been checked, so that
// what can still go wrong is that a program is missing.
package peers

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"text/template"

	"github.com/prefork/cluster/configs"
)

// Peer is another server. Its exported fields are for people and for choosing; Command says how it is started.
type Peer struct {
	Name    string
	About   string   // a sentence or two
	Install string   // the command that installs it
	Paths   []string // of the reference application that it serves, such as /plaintext

	like         string   // another peer, from which it has what it does not say itself
	needs        []string // programs
	check        []string // a command that fails, and says why, where the peer cannot run; nil: none
	version      []string // a command that prints it; nil: none
	files        map[string]*template.Template
	argv, env    []*template.Template
	ready        string
	stop         syscall.Signal
	masterServes bool
}

// Serves reports whether it serves a path, which may have a query.
func (p Peer) Serves(path string) bool {
	path, _, _ = strings.Cut(path, "?")
	return slices.Contains(p.Paths, path)
}

// Set is peers by name.
type Set struct{ peers map[string]Peer }

//go:embed descriptions/*.yaml
var embedded embed.FS

// Embedded returns the peers that are described in the binary. An error is a mistake in this package.
func Embedded() (*Set, error) {
	folder, err := fs.Sub(embedded, "descriptions")
	if err != nil {
		return nil, err
	}
	s := &Set{peers: map[string]Peer{}}
	return s, s.add(folder, "peers")
}

// Add reads the descriptions of a folder: each file whose name ends in .yaml or .yml. A peer takes the place of one that has
// its name; two of one folder must not have the same. The error has a line for each mistake, with file and line; then
// nothing was added.
func (s *Set) Add(dir string) error {
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("descriptions of peers: %w", err)
	}
	return s.add(os.DirFS(dir), dir)
}

func (s *Set) add(folder fs.FS, dir string) error {
	var names []string
	for _, pattern := range []string{"*.yaml", "*.yml"} {
		found, err := fs.Glob(folder, pattern)
		if err != nil {
			return err
		}
		names = append(names, found...)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s has no descriptions of peers: their names end in .yaml", dir)
	}
	var all []*description
	var wrong []error
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return fmt.Errorf("descriptions of peers: %w", err)
		}
		d, err := read(path.Join(dir, name), text)
		wrong = append(wrong, err)
		all = append(all, d)
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	return s.take(all)
}

// take makes peers of descriptions. One that is like another is made after that, which may also be of an earlier folder.
func (s *Set) take(all []*description) error {
	made := maps.Clone(s.peers)
	files := map[string]string{}
	for _, d := range all {
		if first, twice := files[d.peer.Name]; twice {
			return fmt.Errorf("%s: %s describes a peer %s, too", d.file, first, d.peer.Name)
		}
		files[d.peer.Name] = d.file
	}
	for len(all) > 0 {
		next := slices.IndexFunc(all, func(d *description) bool {
			return !slices.ContainsFunc(all, func(other *description) bool { return other != d && other.peer.Name == d.peer.like })
		})
		if next < 0 {
			return fmt.Errorf("%s: %s is like %s, and that is in turn like it", all[0].file, all[0].peer.Name, all[0].peer.like)
		}
		d := all[next]
		base := Peer{stop: syscall.SIGTERM}
		if like := d.peer.like; like != "" {
			var known bool
			if base, known = made[like]; !known {
				near := configs.DidYouMean(like, "", slices.Sorted(maps.Keys(made)))
				return fmt.Errorf("%s:%d: like: there is no peer %q%s", d.file, d.given["like"].Line, like, near)
			}
		}
		p, err := d.over(base)
		if err != nil {
			return err
		}
		made[p.Name] = p
		all = slices.Delete(all, next, next+1)
	}
	s.peers = made
	return nil
}

// Names are those of all peers, in order.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.peers)) }

// Lookup finds a peer. The error of an unknown one lists those that are known.
func (s *Set) Lookup(name string) (Peer, error) {
	p, ok := s.peers[name]
	if !ok {
		return p, fmt.Errorf("unknown peer %q%s; the peers are %s", name, configs.DidYouMean(name, "", s.Names()), strings.Join(s.Names(), ", "))
	}
	return p, nil
}
