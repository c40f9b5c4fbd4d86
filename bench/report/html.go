package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/suite"
)

// The libraries are Vega, Vega-Lite and Vega-Embed as their authors minified them; scripts/vega.sh fetches them.
//
//go:embed assets
var assets embed.FS

// HTML writes one page with the tables of Markdown and pictures beside them. It needs no network: what draws the pictures is
// in it, and its content security policy forbids all requests.
func HTML(w io.Writer, run record.Run, trials []record.Trial, suites []suite.Suite) error {
	v, err := build(run, trials, suites)
	if err != nil {
		return err
	}
	asset := func(name string) (string, error) {
		text, err := assets.ReadFile("assets/" + name)
		return string(text), err
	}
	page, err := template.New("page.html").Funcs(template.FuncMap{
		"script":  func(name string) (template.JS, error) { text, err := asset(name); return template.JS(text), err },
		"style":   func(name string) (template.CSS, error) { text, err := asset(name); return template.CSS(text), err },
		"text":    asset,
		"numbers": func(head []string, rows [][]string) object { return object{"Head": head, "Rows": rows} },
	}).ParseFS(assets, "assets/page.html")
	if err != nil {
		return fmt.Errorf("the template of the page: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, v); err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}
