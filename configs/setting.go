package configs

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Group is what settings are sorted by, for people.
type Group string

// The groups of settings.
const (
	Topology    Group = "Topology"
	Addresses   Group = "Addresses"
	Limits      Group = "Limits"
	Timeouts    Group = "Timeouts"
	Supervision Group = "Supervision"
	Logging     Group = "Logging"
	Process     Group = "Process"
)

// Groups are all groups, in the order in which they are shown.
func Groups() []Group {
	return []Group{Topology, Addresses, Limits, Timeouts, Supervision, Logging, Process}
}

// Kind is how the value of a setting is written.
type Kind string

// The kinds of settings.
const (
	Number   Kind = "number"
	Size     Kind = "size"     // of bytes, such as 64KiB
	Duration Kind = "duration" // such as 500ms, 10s or 2m
	Text     Kind = "text"
	Choice   Kind = "choice" // of Setting.Words
	Switch   Kind = "switch" // true or false
	Binds    Kind = "binds"  // a list of addresses
	Words    Kind = "words"  // a list, the arguments of a command
)

// Change is what a setting needs in order to have another value while the cluster runs.
type Change string

// What a change of a setting needs.
const (
	Live    Change = "at once"           // the cluster goes on with the new value
	Restart Change = "replaces workers"  // the workers are replaced one by one
	Fixed   Change = "needs a new start" // only another master has it
)

// Setting is one row of the schema. Its flag, its key in the file, its variable, its place in the samples and in the
// documents are made from it.
type Setting struct {
	Name   string // of the flag and of the key
	Short  string // a letter for the flag; empty: none
	Group  Group
	Kind   Kind
	Change Change
	Usage  string   // one line, beginning with a small letter
	Words  []string // allowed besides what the kind allows; of a choice: all that is allowed

	together  Change            // with mode inprocess, if that differs from Change
	measuring bool              // it is there for measuring only
	measured  []string          // of Words: those that are there for measuring only
	low, high int64             // of what is a number, in its smallest unit
	zero      bool              // 0 is allowed besides low to high
	elsewhere []string          // variables that other programs know too
	unset     string            // shown for a default that the value does not tell
	field     func(*Config) any // a pointer to the field
	upTo      func(*Config) any // of a number that may be a range, LOW:HIGH: a pointer to what HIGH is for, 0 if there is none; else nil
}

func number(name string, change Change, low, high int, usage string, field func(*Config) *int) Setting {
	return Setting{Name: name, Kind: Number, Change: change, Usage: usage, low: int64(low), high: int64(high), field: pointer(field)}
}

func size(name string, change Change, low, high int64, usage string, field func(*Config) *int64) Setting {
	return Setting{Name: name, Kind: Size, Change: change, Usage: usage, low: low, high: high, field: pointer(field)}
}

// duration is a setting that can be changed at once, as nearly all of them can.
func duration(name string, low time.Duration, usage string, field func(*Config) *time.Duration) Setting {
	return Setting{Name: name, Kind: Duration, Change: Live, Usage: usage, low: int64(low), high: int64(maxDuration), field: pointer(field)}
}

func text(name string, change Change, usage string, field func(*Config) *string) Setting {
	return Setting{Name: name, Kind: Text, Change: change, Usage: usage, field: pointer(field)}
}

func choice(name string, change Change, words, usage string, field func(*Config) *string) Setting {
	return Setting{Name: name, Kind: Choice, Change: change, Usage: usage, Words: strings.Fields(words), field: pointer(field)}
}

func toggle(name string, change Change, usage string, field func(*Config) *bool) Setting {
	return Setting{Name: name, Kind: Switch, Change: change, Usage: usage, field: pointer(field)}
}

func pointer[T any](field func(*Config) *T) func(*Config) any {
	return func(c *Config) any { return field(c) }
}

func (s Setting) short(letter string) Setting { s.Short = letter; return s }

func (s Setting) also(variable string) Setting { s.elsewhere = append(s.elsewhere, variable); return s }

func (s Setting) word(word string) Setting { s.Words = append(s.Words, word); return s }

// orRange allows LOW:HIGH.
func (s Setting) orRange(high func(*Config) *int) Setting { s.upTo = pointer(high); return s }

func (s Setting) orZero() Setting { s.zero = true; return s }

func (s Setting) without(unset string) Setting { s.unset = unset; return s }

func (s Setting) needs(change Change) Setting { s.Change = change; return s }

// inProcess is what a change needs with mode inprocess, where it is not what it needs else.
func (s Setting) inProcess(change Change) Setting { s.together = change; return s }

// forMeasuring marks a setting that no service should have.
func (s Setting) forMeasuring() Setting {
	s.measuring = true
	s.Usage += "; for measuring only"
	return s
}

// orForMeasuring adds choices that no service should have.
func (s Setting) orForMeasuring(words string) Setting {
	s.measured = strings.Fields(words)
	s.Words = append(s.Words, s.measured...)
	s.Usage += "; for measuring only: " + strings.Join(s.measured, ", ")
	return s
}

func in(group Group, settings ...Setting) []Setting {
	for i := range settings {
		settings[i].Group = group
	}
	return settings
}

// Variables are the variables of the environment that set it, the strongest first. The program has none: a list of
// arguments cannot be written in one without a quoting of its own.
func (s *Setting) Variables() []string {
	if s.Kind == Words {
		return nil
	}
	return append([]string{VariableName(s.Name)}, s.elsewhere...)
}

// flag is how the setting is spelled on the command line.
func (s *Setting) flag() string {
	if s.Kind == Words {
		return "--" // what follows it
	}
	return "--" + s.Name
}

// VariableName is the variable of a flag: drain-timeout is CLUSTER_DRAIN_TIMEOUT.
func VariableName(flag string) string {
	return "CLUSTER_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// IsList says that the setting has any number of values.
func (s *Setting) IsList() bool { return s.Kind == Binds || s.Kind == Words }

// Default is the default as it is written in a file; empty, if it is to have none.
func (s *Setting) Default() string {
	if len(s.Words) > 0 && s.Kind != Choice {
		return s.Words[0]
	}
	d := defaults()
	return s.Text(&d)
}

// defaults are read once, since they look at the machine.
var defaults = sync.OnceValue(Default)

// DefaultForPeople is Default, or in words what it means that there is none.
func (s *Setting) DefaultForPeople() string {
	if s.unset != "" {
		return s.unset
	}
	return s.Default()
}

// ChangeIn is what another value needs in a cluster of this configuration.
func (s *Setting) ChangeIn(c *Config) Change {
	if c.InProcess() {
		return cmp.Or(s.together, s.Change)
	}
	return s.Change
}

// Changes says for people what another value needs, in each mode if they differ.
func (s *Setting) Changes() string {
	text := string(s.Change)
	if s.together != "" {
		text += "; with mode inprocess " + string(s.together)
	}
	return text
}

// Measuring names the settings in use that are there for measuring only, and the choices: pool=lanes.
func (c *Config) Measuring() []string {
	d := defaults()
	var names []string
	for _, s := range Changed(&d, c) {
		switch value := s.Text(c); {
		case s.measuring:
			names = append(names, s.Name)
		case slices.Contains(s.measured, value):
			names = append(names, s.Name+"="+value)
		}
	}
	return names
}

// Changed are the settings in which two configurations differ, in the order of the schema.
func Changed(a, b *Config) []Setting {
	var changed []Setting
	for _, s := range Settings() {
		if !reflect.DeepEqual(s.field(a), s.field(b)) || s.upTo != nil && !reflect.DeepEqual(s.upTo(a), s.upTo(b)) {
			changed = append(changed, s)
		}
	}
	return changed
}
