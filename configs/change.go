package configs

import (
	"reflect"
	"slices"
)

// Changes are the settings that differ between two configurations, by what they need.
type Changes struct {
	Live    []string `json:"live,omitempty"`    // taken over at once
	Restart []string `json:"restart,omitempty"` // taken over as the workers are replaced
	Kept    []string `json:"kept,omitempty"`    // as they were: only a new start can change them
}

// Empty says that nothing differs.
func (c Changes) Empty() bool { return len(c.Live)+len(c.Restart)+len(c.Kept) == 0 }

// Take is the configuration that a running cluster can have of a wanted one, and what changes on the way. Both have been
// checked. What only a new start can change stays, and so does what would not go with it: more workers or threads than the
// scoreboard has room for, or a pool that does not go with the mode or the dispatch.
func Take(running, wanted Config) (Config, Changes) {
	taken := wanted
	var kept []string
	keep := func(s Setting) {
		kept = append(kept, s.Name)
		copySetting(s, &taken, &running)
	}
	for _, s := range Changed(&running, &wanted) {
		if s.Change == Fixed {
			keep(s)
		}
	}
	if max(taken.Workers, taken.Elastic) > taken.MaxWorkers {
		keep(*settingNamed("workers"))
	}
	if taken.Threads > running.Cells() {
		keep(*settingNamed("threads"))
	}
	if len(taken.poolRelations()) > 0 {
		for _, s := range Changed(&running, &taken) {
			if slices.Contains(ofPools, s.Name) {
				keep(s)
			}
		}
	}
	changes := Changes{Kept: kept}
	for _, s := range Changed(&running, &taken) {
		if s.ChangeIn(&running) == Live {
			changes.Live = append(changes.Live, s.Name)
		} else {
			changes.Restart = append(changes.Restart, s.Name)
		}
	}
	return taken, changes
}

// Undo is the running configuration with what is taken over as workers are replaced as it was before: those workers were not
// good.
func Undo(running, before Config) Config {
	for _, s := range schema {
		if s.ChangeIn(&running) == Restart {
			copySetting(s, &running, &before)
		}
	}
	return running
}

func copySetting(s Setting, to, from *Config) {
	reflect.ValueOf(s.field(to)).Elem().Set(reflect.ValueOf(s.field(from)).Elem())
	if s.upTo != nil {
		*s.upTo(to).(*int) = *s.upTo(from).(*int)
	}
}

// OwnVariables are the variables of the environment that are this program's alone. WEB_CONCURRENCY and MAX_THREADS, which
// others know too, are not among them.
func OwnVariables() []string {
	own := []string{FileVariable}
	for _, s := range schema {
		own = append(own, slices.DeleteFunc(s.Variables(), func(v string) bool { return slices.Contains(s.elsewhere, v) })...)
	}
	return own
}
