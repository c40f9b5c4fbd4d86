package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/template"

	"go.yaml.in/yaml/v3"

	"github.com/prefork/cluster/configs"
)

// description is a file that has been read.
type description struct {
	file  string
	peer  Peer                  // as far as the file says
	given map[string]*yaml.Node // its keys
}

// key is what a description can have. take puts a value into a peer, or says what is wrong with it.
type key struct {
	name   string
	needed bool // unless it is like another peer, which has it
	take   func(p *Peer, value *yaml.Node) error
}

var keys = []key{
	{"name", true, func(p *Peer, n *yaml.Node) error { return take(&p.Name, n, name) }},
	{"like", false, func(p *Peer, n *yaml.Node) error { return take(&p.like, n, name) }},
	{"about", true, func(p *Peer, n *yaml.Node) error { return take(&p.About, n, text) }},
	{"install", true, func(p *Peer, n *yaml.Node) error { return take(&p.Install, n, text) }},
	{"needs", false, func(p *Peer, n *yaml.Node) error { return take(&p.needs, n, list) }},
	{"check", false, func(p *Peer, n *yaml.Node) error { return take(&p.check, n, list) }},
	{"version", false, func(p *Peer, n *yaml.Node) error { return take(&p.version, n, list) }},
	{"files", false, func(p *Peer, n *yaml.Node) error { return take(&p.files, n, files) }},
	{"argv", true, func(p *Peer, n *yaml.Node) error { return take(&p.argv, n, argv) }},
	{"env", false, func(p *Peer, n *yaml.Node) error { return take(&p.env, n, env) }},
	{"ready", true, func(p *Peer, n *yaml.Node) error { return take(&p.ready, n, urlPath) }},
	{"stop", false, func(p *Peer, n *yaml.Node) error { return take(&p.stop, n, stop) }},
	{"paths", true, func(p *Peer, n *yaml.Node) error { return take(&p.Paths, n, urlPaths) }},
	{"master-serves", false, func(p *Peer, n *yaml.Node) error { return take(&p.masterServes, n, yes) }},
}

func take[T any](to *T, n *yaml.Node, parse func(*yaml.Node) (T, error)) (err error) {
	*to, err = parse(n)
	return err
}

var (
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	signals  = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT}
)

// read checks a file by itself. The error has a line for each mistake.
func read(file string, data []byte) (*description, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: this is no description of a peer: give a line `key: value` for each of %s", file, keyNames())
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second document begins: a file describes one peer", file)
	}
	d := &description{file: file, given: map[string]*yaml.Node{}}
	var wrong []error
	refuse := func(n *yaml.Node, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s:%d: %s", file, n.Line, fmt.Sprintf(format, args...)))
	}
	for root, i := document.Content[0], 0; i+1 < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		k := slices.IndexFunc(keys, func(k key) bool { return k.name == name.Value })
		switch {
		case k < 0:
			refuse(name, "unknown key %q%s; the keys are %s", name.Value, configs.DidYouMean(name.Value, "", strings.Split(keyNames(), ", ")), keyNames())
		case d.given[name.Value] != nil:
			refuse(name, "%s is given twice, first in line %d", name.Value, d.given[name.Value].Line)
		default:
			d.given[name.Value] = value
			if err := keys[k].take(&d.peer, value); err != nil {
				refuse(value, "%s: %v", name.Value, err)
			}
		}
	}
	for _, k := range keys {
		if k.needed && d.given[k.name] == nil && (k.name == "name" || d.given["like"] == nil) {
			wrong = append(wrong, fmt.Errorf("%s: %s is missing", file, k.name))
		}
	}
	return d, errors.Join(wrong...)
}

// keyNames are those of all keys, for people.
func keyNames() string {
	var names []string
	for _, k := range keys {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ")
}

// over puts what the file says over the peer that it is like.
func (d *description) over(other Peer) (Peer, error) {
	for _, k := range keys {
		if value := d.given[k.name]; value != nil {
			if err := k.take(&other, value); err != nil {
				return other, fmt.Errorf("%s:%d: %s: %w", d.file, value.Line, k.name, err)
			}
		}
	}
	return other, nil
}

func text(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		return "", errors.New("give a text")
	}
	return n.Value, nil
}

func name(n *yaml.Node) (string, error) {
	s, err := text(n)
	if err == nil && !nameForm.MatchString(s) {
		err = fmt.Errorf("%q is no name: use small letters, digits and -", s)
	}
	return s, err
}

func list(n *yaml.Node) (all []string, err error) {
	if n.Kind != yaml.SequenceNode {
		return nil, errors.New("give a list such as [a, b]")
	}
	for i, item := range n.Content {
		s, err := text(item)
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i+1, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func urlPath(n *yaml.Node) (string, error) {
	s, err := text(n)
	if err == nil && !strings.HasPrefix(s, "/") {
		err = fmt.Errorf("%q is no path: begin it with /", s)
	}
	return s, err
}

func urlPaths(n *yaml.Node) ([]string, error) {
	all, err := list(n)
	for i := 0; i < len(all) && err == nil; i++ {
		_, err = urlPath(n.Content[i])
	}
	if err == nil && len(all) == 0 {
		err = errors.New("the list is empty: nothing could be measured")
	}
	return all, err
}

func yes(n *yaml.Node) (is bool, err error) {
	if n.ShortTag() != "!!bool" || n.Decode(&is) != nil {
		return false, errors.New("give true or false")
	}
	return is, nil
}

func stop(n *yaml.Node) (syscall.Signal, error) {
	signal, ok := signals[n.Value]
	if !ok {
		return 0, fmt.Errorf("%q is no signal that ends a server: give TERM, INT or QUIT", n.Value)
	}
	return signal, nil
}

func argv(n *yaml.Node) ([]*template.Template, error) {
	all, err := templates(n)
	if err == nil && len(all) == 0 {
		err = errors.New("the list is empty: begin it with a program")
	}
	return all, err
}

func env(n *yaml.Node) ([]*template.Template, error) {
	all, err := templates(n)
	for i := 0; i < len(all) && err == nil; i++ {
		if !strings.Contains(n.Content[i].Value, "=") {
			err = fmt.Errorf("item %d: %q is no NAME=VALUE", i+1, n.Content[i].Value)
		}
	}
	return all, err
}

func templates(n *yaml.Node) ([]*template.Template, error) {
	texts, err := list(n)
	if err != nil {
		return nil, err
	}
	var all []*template.Template
	for i, s := range texts {
		t, err := parsed(fmt.Sprintf("item %d", i+1), s)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

func files(n *yaml.Node) (map[string]*template.Template, error) {
	if n.Kind != yaml.MappingNode {
		return nil, errors.New("give a map of names and texts")
	}
	all := map[string]*template.Template{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%q is outside the folder that the files are for", name)
		}
		s, err := text(n.Content[i+1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if all[name], err = parsed(name, s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parsed is a template that has been tried: what it asks for must be in Params.
func parsed(name, text string) (*template.Template, error) {
	t, err := template.New(name).Parse(text)
	if err == nil {
		err = t.Execute(io.Discard, Params{})
	}
	if err != nil {
		why := strings.TrimPrefix(err.Error(), "template: ")
		return nil, fmt.Errorf("%s (there are .Host, .Port, .Addr, .Workers, .Threads and .Dir)", why)
	}
	return t, nil
}
