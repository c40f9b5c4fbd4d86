package metrics

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// described are the labels of every series of names.go, by name.
func described(t *testing.T) map[string]string {
	t.Helper()
	source, err := os.ReadFile("names.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, m := range regexp.MustCompile(`= desc\("([^"]+)", "([^"]+)"(.*)\)`).FindAllStringSubmatch(string(source), -1) {
		if _, twice := names[m[1]]; twice {
			t.Errorf("%s is described twice", m[1])
		}
		if !strings.HasSuffix(m[2], ".") {
			t.Errorf("%s: %q does not end in a full stop", m[1], m[2])
		}
		names[m[1]] = strings.ReplaceAll(strings.TrimPrefix(m[3], ", "), `"`, "")
	}
	if len(names) != len(descs) {
		t.Errorf("%d of %d series were found in names.go", len(names), len(descs))
	}
	return names
}

func TestLint(t *testing.T) {
	f := busy(t)
	problems, err := promlint.New(get(t, Handler(f, noMemory(f)), "/metrics").Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestLabels(t *testing.T) {
	allowed := []string{"slot", "class", "reason", "bind", "outcome", "state", "metric", "version", "go_version", "part", "resource"}
	for name, labels := range described(t) {
		if !strings.HasPrefix(name, "cluster_") {
			t.Errorf("%s does not begin with cluster_", name)
		}
		for label := range strings.SplitSeq(labels, ", ") {
			// Each restart would make new series of every one that has these.
			perProcess := label == "pid" || label == "generation"
			switch {
			case labels == "" || slices.Contains(allowed, label):
			case perProcess && strings.HasSuffix(name, "_info"):
			default:
				t.Errorf("%s has the label %s", name, label)
			}
		}
	}
}

// What names.go describes, a busy cluster's scrape, and docs/metrics.md are the same series.
func TestDocumented(t *testing.T) {
	data, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(cluster_[a-z_]+)` \\| (\\w+) \\| ([a-z_, ]*)\\| (.+) \\|(.*)\\|$")
	documented := map[string]family{}
	for _, m := range row.FindAllStringSubmatch(string(data), -1) {
		if _, twice := documented[m[1]]; twice {
			t.Errorf("docs/metrics.md has %s twice", m[1])
		}
		documented[m[1]] = family{kind: m[2], labels: strings.TrimSpace(m[3])}
	}
	_, sent := scrape(t, busy(t))
	known := described(t)
	for name, labels := range known {
		doc, ok := documented[name]
		if !ok {
			t.Errorf("docs/metrics.md has no row of %s", name)
			continue
		}
		got, ok := sent[name]
		if !ok {
			t.Errorf("%s is in names.go, but is never sent", name)
			continue
		}
		if doc.kind != got.kind || doc.labels != labels {
			t.Errorf("docs/metrics.md says %s is a %s with the labels %q; it is a %s with %q", name, doc.kind, doc.labels, got.kind, labels)
		}
		if sorted(got.labels) != sorted(labels) {
			t.Errorf("%s is sent with the labels %q, described with %q", name, got.labels, labels)
		}
	}
	for name := range documented {
		if _, ok := known[name]; !ok {
			t.Errorf("docs/metrics.md has %s, which does not exist", name)
		}
	}
	// In the text and the rules too. Histograms have endings of their own.
	for _, name := range regexp.MustCompile(`cluster_[a-z_]+`).FindAllString(string(data), -1) {
		if _, ok := known[strings.TrimSuffix(name, "_bucket")]; !ok {
			t.Errorf("docs/metrics.md speaks of %s, which does not exist", name)
		}
	}
}

func sorted(labels string) string {
	list := strings.Split(labels, ", ")
	slices.Sort(list)
	return strings.Join(list, ", ")
}
