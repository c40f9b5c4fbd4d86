package bench

import (
	"testing"

	"github.com/prefork/cluster/bench/report"
	"github.com/prefork/cluster/bench/suite"
)

func TestSuitesNameFiguresThatExist(t *testing.T) {
	for _, s := range suite.All(suite.Options{}) {
		for _, table := range s.Tables {
			names := table.Figures
			if table.Compare != "" {
				names = append(names[:len(names):len(names)], table.Compare)
			}
			for _, name := range names {
				if _, ok := report.Lookup(name); !ok {
					t.Errorf("%s, %s: there is no figure %q", s.Name, table.Title, name)
				}
			}
		}
	}
}
