package configs

import (
	"fmt"
	"strings"
)

// Sample is a file with every setting at its default, commented out: a line `# …` is for people, a line `#key: value`
// counts when its # is removed.
func Sample() string {
	var b strings.Builder
	b.WriteString(`# Settings of a cluster, each at its default. Remove the # of a line to change its value.
#
# cluster start reads ` + DefaultFile + ` of the directory it is started in, or the file of --config. A variable of the
# environment wins over the file, a flag over both. Paths are relative to that directory too.
# To look at a file: cluster config check. To see what counts, and why: cluster config show.
`)
	for _, group := range Groups() {
		fmt.Fprintf(&b, "\n# === %s ===\n", group)
		for _, s := range Settings() {
			if s.Group == group {
				fmt.Fprintf(&b, "\n# %s%s\n# %s; a change %s\n#%s: %s\n", strings.ToUpper(s.Usage[:1]), s.Usage[1:], strings.Join(s.Spellings(), ", "), s.told(), s.Name, s.yamlDefault())
			}
		}
	}
	return b.String()
}

// Spellings are the flags and variables of the setting, the strongest first.
func (s *Setting) Spellings() []string {
	if s.Kind == Words {
		return []string{"what follows --"}
	}
	spellings := []string{"--" + s.Name}
	if s.Short != "" {
		spellings = append(spellings, "-"+s.Short)
	}
	return append(spellings, s.Variables()...)
}

// told is the change behind "a change".
func (s *Setting) told() string {
	return strings.Replace(s.Changes(), string(Live), "counts at once", 1)
}

func (s *Setting) yamlDefault() string {
	text := s.Default()
	switch {
	case text != "":
		return text
	case s.IsList():
		return "[]"
	}
	return `""`
}
