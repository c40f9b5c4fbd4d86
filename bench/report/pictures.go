package report

import (
	"slices"

	"github.com/prefork/cluster/bench/record"
	"github.com/prefork/cluster/bench/stats"
)

// picture is a Vega-Lite specification (https://vega.github.io/vega-lite/docs/), and the same as a table for those who cannot
// see it.
type picture struct {
	Title string
	Spec  object
	Head  []string
	Rows  [][]string
}

type object = map[string]any

var (
	barred      = []string{"rate", "cpu", "efficiency"}
	percentiles = []string{"p50", "p90", "p99", "p999"}
	stacked     = []string{"idle_pss", "loaded_pss", "master_pss", "sum_pss", "shared", "private"}
)

func (l layout) has(names []string) bool {
	return slices.ContainsFunc(l.figures, func(f Figure) bool { return slices.Contains(names, f.Name) })
}

// pictures of a table: across steps a curve; under one step bars, the latency by percentile and the memory, as far as the
// table has figures of them.
func (l layout) pictures(cells, steps []string) ([]picture, error) {
	var all []picture
	if l.def.Across {
		return appendPicture(all, l.across(l.figures[0], cells, steps)), nil
	}
	for _, f := range l.figures {
		if slices.Contains(barred, f.Name) {
			all = appendPicture(all, l.bars(f, cells, steps[0]))
		}
	}
	if l.has(percentiles) {
		p, err := l.distribution(cells, steps[0])
		if err != nil {
			return nil, err
		}
		all = appendPicture(all, p)
	}
	if l.has(stacked) {
		all = appendPicture(all, l.memory(cells, steps[0]))
	}
	return all, nil
}

func appendPicture(all []picture, p picture) []picture {
	if len(p.Rows) == 0 {
		return all
	}
	return append(all, p)
}

// bars of a figure, with the intervals of the medians.
func (l layout) bars(f Figure, cells []string, step string) picture {
	p := picture{Title: f.Column(), Head: []string{"", f.Column()}}
	var values []object
	for _, cell := range cells {
		trials := l.group(cell, step).trials
		s := stats.Summarize(f.values(trials))
		if s.N == 0 {
			continue
		}
		p.Rows = append(p.Rows, []string{cell, f.text(trials)})
		values = append(values, withInterval(object{"cell": cell, "value": s.Median, "text": f.text(trials)}, s))
	}
	p.Spec = spec(p.Title, values, object{
		"height":   barHeight * len(p.Rows),
		"encoding": object{"y": cellAxis(), "tooltip": tooltip("cell", "", "text", f.Column())},
		"layer": append(
			[]object{{"mark": object{"type": "bar", "height": 12}, "encoding": object{"x": amount()}}},
			interval(object{"type": "rule"}, "x", values)...),
	})
	return p
}

// memory stacks what a target's processes have for themselves, their share of what they share, and the master. The parts add
// up to its PSS.
func (l layout) memory(cells []string, step string) picture {
	parts := []struct {
		name string
		of   func(record.Trial) float64
	}{
		{"private", func(t record.Trial) float64 { return float64(moment(t).Serving.Private) }},
		{"shared", func(t record.Trial) float64 {
			m := moment(t).Serving
			return max(0, float64(m.PSS-m.Private))
		}},
		{"master", func(t record.Trial) float64 { return float64(moment(t).Master.PSS) }},
	}
	p := picture{Title: "memory (PSS), MiB", Head: []string{""}}
	var domain []string
	for _, part := range parts {
		p.Head, domain = append(p.Head, part.name), append(domain, part.name)
	}
	var values []object
	for _, cell := range cells {
		trials := slices.Clone(l.group(cell, step).trials)
		trials = slices.DeleteFunc(trials, func(t record.Trial) bool { return moment(t).Serving.PSS == 0 })
		if len(trials) == 0 {
			continue
		}
		texts := []string{cell}
		for i, part := range parts {
			var of []float64
			for _, t := range trials {
				of = append(of, part.of(t)/(1<<20))
			}
			value := stats.Summarize(of).Median
			texts = append(texts, number(value, 2))
			values = append(values, object{"cell": cell, "part": part.name, "order": i, "value": value, "text": number(value, 2) + " MiB"})
		}
		p.Rows = append(p.Rows, texts)
	}
	p.Spec = spec(p.Title, values, object{
		"height": barHeight * len(p.Rows),
		"mark":   object{"type": "bar", "height": 12},
		"encoding": object{
			"y": cellAxis(), "x": amount(), "color": color("part", domain, len(domain)), "order": object{"field": "order"},
			"tooltip": tooltip("cell", "", "part", "part", "text", "memory"),
		},
	})
	return p
}

// distribution is latency by percentile, of all rounds together. The distance from 100% is logarithmic, as in the plots of
// HdrHistogram.
func (l layout) distribution(cells []string, step string) (picture, error) {
	p := picture{Title: "latency by percentile, ms", Head: []string{"", "50%", "90%", "99%", "99.9%", "99.99%"}}
	var values []object
	var drawn []string
	for _, cell := range cells {
		h, err := merged(l.group(cell, step).trials)
		if err != nil {
			return p, err
		}
		if h == nil || h.TotalCount() < 20 {
			continue
		}
		drawn = append(drawn, cell)
		for _, at := range curve(h) {
			values = append(values, object{
				"cell": cell, "rank": 1 / at.Above, "value": at.Value,
				"text": number(at.Value, 3) + " ms", "percent": number(100*(1-at.Above), 4) + "%",
			})
		}
		texts := []string{cell}
		for _, percent := range []float64{50, 90, 99, 99.9, 99.99} {
			if float64(h.TotalCount())*(1-percent/100) < 10 {
				texts = append(texts, unknown)
			} else {
				texts = append(texts, number(float64(h.ValueAtPercentile(percent))/1e3, 3))
			}
		}
		p.Rows = append(p.Rows, texts)
	}
	p.Spec = lines(p.Title, drawn, values, object{
		"x": object{
			"field": "rank", "type": "quantitative", "title": "requests that are faster",
			"scale": object{"type": "log", "nice": false},
			"axis": object{
				"values": []int{2, 10, 100, 1000, 10000, 100000, 1000000}, "grid": true, "labelFlush": true,
				"labelExpr": "format(100 - 100 / datum.value, '~r') + '%'",
			},
		},
		"y":       logarithmic(values),
		"tooltip": tooltip("cell", "", "percent", "faster than it", "text", "latency"),
	}, object{"mark": object{"type": "line"}})
	return p, nil
}

// across is a figure from step to step.
func (l layout) across(f Figure, cells, steps []string) picture {
	p := picture{Title: f.Column(), Head: append([]string{""}, steps...)}
	var values []object
	var drawn []string
	for _, cell := range cells {
		texts := []string{cell}
		known := 0
		for _, step := range steps {
			trials := l.group(cell, step).trials
			texts = append(texts, f.text(trials))
			if s := stats.Summarize(f.values(trials)); s.N > 0 {
				known++
				values = append(values, withInterval(object{"cell": cell, "step": step, "value": s.Median, "text": f.text(trials)}, s))
			}
		}
		if known > 0 {
			drawn = append(drawn, cell)
			p.Rows = append(p.Rows, texts)
		}
	}
	y := amount()
	if f.Unit == "ms" {
		y = logarithmic(values)
	}
	p.Spec = lines(p.Title, drawn, values, object{
		"x":       object{"field": "step", "type": "ordinal", "sort": nil, "title": nil, "axis": object{"labelAngle": 0}, "scale": object{"domain": steps}},
		"y":       y,
		"tooltip": tooltip("cell", "", "step", "load", "text", f.Column()),
	}, append(interval(object{"type": "area", "fillOpacity": 0.15}, "y", values), object{"mark": object{"type": "line", "point": true}})...)
	return p
}
