package demo

import (
	"fmt"
	"html/template"
	"io"
	"math/rand/v2"
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

// PageType is the Content-Type of a Page.
const PageType = "text/html; charset=utf-8"

// Data is what the handler of /app works on: like a large web application it holds a data set in memory, looks things up in
// it, renders a template and leaves garbage.
type Data struct{ rows []row }

// LoadData makes a data set of a number of MiB such as "100MiB"; without one it is nil. An error says what is no size.
func LoadData(size string) (*Data, error) {
	if size == "" {
		return nil, nil
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
	return &Data{rows}, nil
}

// Page writes an answer of /app. The error is one of w.
func (d *Data) Page(w io.Writer) error {
	found := make([]row, 0, rowsOnPage)
	at := rand.IntN(len(d.rows))
	for i := range rowsOnPage {
		found = append(found, d.rows[(at+i*7919)%len(d.rows)])
	}
	return page.Execute(w, found)
}

func padding(random *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + random.IntN(26))
	}
	return string(b)
}
