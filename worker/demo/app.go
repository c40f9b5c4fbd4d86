package demo

import (
	"fmt"
	"html/template"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
)

// row is one entry of the heavy application's data set.
type row struct {
	ID    int
	Name  string
	Price int
	Tags  []string
}

const (
	rowBytes   = 512 // about what one row takes, with its strings
	rowsOnPage = 40
)

var page = template.Must(template.New("page").Parse(`<!doctype html><title>{{len .}} rows</title>
<table>{{range .}}<tr><td>{{.ID}}</td><td>{{.Name}}</td><td>{{.Price}}</td><td>{{range .Tags}}<i>{{.}}</i> {{end}}</td></tr>
{{end}}</table>
`))

// loadApp builds the handler of /app: like a large web application it holds a data set in memory, looks things up in it,
// renders a template and leaves garbage. size is a number of MiB such as "100MiB"; without one the handler answers 503.
func loadApp(size string) (http.Handler, error) {
	if size == "" {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "/app needs its data set: start with CLUSTER_DEMO_DATA=100MiB", http.StatusServiceUnavailable)
		}), nil
	}
	mib, err := strconv.Atoi(strings.TrimSuffix(size, "MiB"))
	if err != nil || mib < 1 || mib > 64<<10 {
		return nil, fmt.Errorf("CLUSTER_DEMO_DATA=%q is no size: write 1MiB to 65536MiB", size)
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same data in every worker and run
	rows := make([]row, mib<<20/rowBytes)
	for i := range rows {
		rows[i] = row{ID: i, Name: padding(random, 200), Price: random.IntN(100_000), Tags: []string{padding(random, 60), padding(random, 60), padding(random, 40)}}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := make([]row, 0, rowsOnPage)
		at := rand.IntN(len(rows))
		for i := range rowsOnPage {
			found = append(found, rows[(at+i*7919)%len(rows)])
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, found); err != nil {
			panic(http.ErrAbortHandler) // the client left
		}
	}), nil
}

func padding(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + random.IntN(26))
	}
	return string(b)
}
