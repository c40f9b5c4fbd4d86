package control

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prefork/cluster/master/api"
)

// The document has the routes of the table in their order, and of each its keys, its fields, a request that would be taken and an answer.
func TestDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../" + document)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string]any{
		"/v1/scale": &api.ScaleRequest{}, "/v1/threads": &api.ThreadsRequest{}, "/v1/log-level": &api.LogLevelRequest{},
		"/v1/restart": &api.RestartRequest{}, "/v1/stop": &api.StopRequest{},
	}
	_, part, _ := strings.Cut(string(text), "\n## Routes\n")
	sections := strings.Split(part, "\n### ")[1:]
	var told, there []string
	for _, s := range sections {
		name, _, _ := strings.Cut(s, "\n")
		told = append(told, strings.Trim(name, "`"))
	}
	for _, r := range routes {
		there = append(there, r.method+" "+r.path)
	}
	if !slices.Equal(told, there) {
		t.Fatalf("%s has the routes\n%q, the table\n%q", document, told, there)
	}
	for i, r := range routes {
		s := sections[i]
		if strings.Contains(s, "\nAlso on the metrics address.") != r.public {
			t.Errorf("%s: whether it is on the metrics address is not said as it is: %v", there[i], r.public)
		}
		names := slices.Clone(r.query)
		if body := bodies[r.path]; body != nil {
			names = append(names, fieldsOf(reflect.TypeOf(body).Elem())...)
		}
		for _, name := range names {
			if !strings.Contains(s, "`"+name+"`") && !strings.Contains(s, "`"+name+"=") {
				t.Errorf("%s: %s is not explained", there[i], name)
			}
		}
		example := regexp.MustCompile("(?s)\n```\n" + r.method + " " + regexp.QuoteMeta(r.path) + `(\?\S+)?( \{[^\n]*\})?` + "\n\n(.+?)\n```").FindStringSubmatch(s)
		if example == nil {
			t.Errorf("%s has no request with an answer", there[i])
			continue
		}
		for pair := range strings.SplitSeq(strings.TrimPrefix(example[1], "?"), "&") {
			if key, _, _ := strings.Cut(pair, "="); key != "" && !slices.Contains(r.query, key) {
				t.Errorf("%s: the example gives %s", there[i], key)
			}
		}
		if into := bodies[r.path]; into != nil {
			if err := decode([]byte(example[2]), into); err != nil {
				t.Errorf("%s: the example: %v", there[i], err)
			}
		} else if example[2] != "" {
			t.Errorf("%s takes no body", there[i])
		}
		for line := range strings.Lines(example[3]) {
			if strings.HasPrefix(line, "{") && !strings.Contains(line, "…") && !json.Valid([]byte(line)) {
				t.Errorf("%s: the answer is no JSON: %s", there[i], line)
			}
		}
	}
}
