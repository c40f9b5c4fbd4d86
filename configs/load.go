package configs

import (
	"slices"
	"strings"
)

// DefaultFile is read if no other file is named and it is there.
const DefaultFile = "cluster.yaml"

// FileVariable names the file for those who give no flag.
const FileVariable = "CLUSTER_CONFIG"

// Sources are what a configuration is made from. The stronger ones first: a flag, CLUSTER_…, WEB_CONCURRENCY and
// MAX_THREADS, the file, the default. A flag or a variable that is empty counts as not given.
type Sources struct {
	Flags  map[string][]string                  // by name of the setting, as they were written; program is what follows --
	Lookup func(string) (value string, ok bool) // of the environment; nil: there is none
	File   string                               // must be there; empty: that of CLUSTER_CONFIG, else DefaultFile if it is there
}

// Loaded is a configuration and where it comes from.
type Loaded struct {
	Config  Config
	File    string            // path of the file that was read; empty: none
	Origins map[string]Origin // of every setting, by name
}

// Auto says that the number of workers is left to the machine.
func (l *Loaded) Auto() bool {
	o := l.Origins["workers"]
	return o.Source == FromDefault || slices.Equal(o.written, []string{"auto"})
}

// Load reads all sources anew and checks what comes of them. The error is an Errors with everything that is wrong; the
// configuration is of no use then.
func Load(s Sources) (Loaded, error) {
	l := Loaded{Config: Default(), Origins: map[string]Origin{}}
	entries, path, wrong := s.readFile()
	l.File = path
	complete := wrong == nil || entries != nil // without the file nobody knows which values meet
	unread := map[string]bool{}
	apply := func(setting *Setting, o Origin, into *Config) (read bool) {
		faults := setting.set(into, o.written)
		for _, f := range faults {
			subject := mention{name: setting.Name, item: f.item, quoted: !f.bare}
			wrong = append(wrong, problem{subject, f.why}.tell(map[string]Origin{setting.Name: o}))
		}
		return len(faults) == 0
	}
	for i := range schema {
		setting := &schema[i]
		inFile, found := entries[setting.Name]
		o := s.given(setting)
		switch {
		case o.Source == FromDefault && found && inFile.written == nil:
			unread[setting.Name] = true
		case o.Source == FromDefault && found:
			o = inFile
		case found && inFile.written != nil:
			overruled := Default() // what cannot be read is wrong even if it does not count today
			apply(setting, inFile, &overruled)
		}
		l.Origins[setting.Name] = o
		if o.Source != FromDefault && !apply(setting, o, &l.Config) {
			unread[setting.Name] = true
		}
	}
	if l.Auto() {
		l.Config.Workers = max(1, min(l.Config.Workers, l.Config.MaxWorkers))
	}
	if complete {
		for _, p := range append(l.Config.problems(), l.pointless()...) {
			// A value that could not be read stands at its default, which nobody has chosen to go with the others.
			if !slices.ContainsFunc(p, func(part any) bool { m, ok := part.(mention); return ok && unread[m.name] }) {
				wrong = append(wrong, p.tell(l.Origins))
			}
		}
	}
	return l, wrong.sorted()
}

// pointless are the problems of what was given, be it the default, and means nothing beside other settings.
func (l *Loaded) pointless() []problem {
	if l.Config.InProcess() && l.Origins["dispatch"].Source != FromDefault {
		return []problem{{l.Config.plain("dispatch"), " means nothing with ", l.Config.plain("mode"), ": one process takes all connections, and there are no others to dispatch between; leave one of the two out"}}
	}
	return nil
}

// given is what the command line or the environment says; an origin of FromDefault, if they say nothing.
func (s *Sources) given(setting *Setting) Origin {
	if written := setting.items(s.Flags[setting.Name]); len(written) > 0 {
		return Origin{Source: FromFlag, Name: setting.flag(), written: written}
	}
	for _, variable := range setting.Variables() {
		if written := setting.items([]string{s.variable(variable)}); len(written) > 0 {
			return Origin{Source: FromVariable, Name: variable, written: written}
		}
	}
	return Origin{}
}

func (s *Sources) variable(name string) string {
	if s.Lookup == nil {
		return ""
	}
	value, _ := s.Lookup(name)
	return value
}

// items are the values that are not empty; several addresses may stand in one text, with commas between. (In the file
// they are a list, so an address with a comma in its path can be written there.)
func (s *Setting) items(given []string) []string {
	if s.Kind == Words {
		return given // an argument may be empty
	}
	var items []string
	for _, text := range given {
		if s.Kind != Binds {
			items = append(items, text)
			continue
		}
		for part := range strings.SplitSeq(text, ",") {
			items = append(items, strings.TrimSpace(part))
		}
	}
	return slices.DeleteFunc(items, func(text string) bool { return text == "" })
}

// ControlOf finds what says where a cluster is spoken to, its name and the path of its control socket, in the sources that
// its start has them from. An empty path means that the name tells. Nothing else in the file is looked at. The error is of a
// file that cannot be read at all: the other sources have been asked then.
func ControlOf(s Sources) (name, control string, err error) {
	entries, _, wrong := s.readFile()
	c := Default()
	for _, key := range []string{"name", "control"} {
		setting := settingNamed(key)
		o := s.given(setting)
		if o.Source == FromDefault {
			o = entries[key]
		}
		if len(o.written) > 0 {
			setting.set(&c, o.written)
		}
	}
	if entries == nil {
		err = wrong.sorted()
	}
	return c.Name, c.Control, err
}
