package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	alertRules = "../../configs/prometheus/rules.yml"
	dashboard  = "../../configs/grafana/dashboard.json"
)

// Each alert fires where it is to and stays silent in a healthy cluster: promtool runs rules_test.yml.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool := needProgram(t, "promtool", "prometheus")
	if out, err := exec.Command(promtool, "check", "rules", "--lint-fatal", alertRules).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	cmd := exec.Command(promtool, "test", "rules", "rules_test.yml")
	cmd.Dir = filepath.Dir(alertRules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	rules, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join(filepath.Dir(alertRules), "rules_test.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tests), m[1]+" fires") {
			t.Errorf("no test makes %s fire", m[1])
		}
	}
}

// expressions are those of all panels of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	return all
}

// Prometheus understands every expression of the dashboard.
func TestDashboardParses(t *testing.T) {
	t.Parallel()
	promtool := needProgram(t, "promtool", "prometheus")
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, e := range expressions(t) {
		e = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$slot", ".*").Replace(e)
		fmt.Fprintf(&rules, "      - record: panel:%d\n        expr: %q\n", i, e)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Rules and dashboard name metrics that there are.
func TestMonitoringNames(t *testing.T) {
	t.Parallel()
	golden, err := os.ReadFile("../../metrics/testdata/metrics.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for line := range strings.Lines(string(golden)) {
		if f := strings.Fields(line); len(f) >= 4 && f[1] == "TYPE" {
			known[f[2]] = true
			if f[3] == "histogram" {
				known[f[2]+"_bucket"] = true
			}
		}
	}
	rules, err := os.ReadFile(alertRules)
	if err != nil {
		t.Fatal(err)
	}
	used := append(expressions(t), string(rules))
	names := regexp.MustCompile(`\bcluster_\w+`)
	found := 0
	for _, text := range used {
		for _, name := range names.FindAllString(text, -1) {
			if found++; !known[name] {
				t.Errorf("there is no metric %s", name)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d names were found", found)
	}
}
