package report

import (
	"slices"

	"github.com/prefork/cluster/bench/stats"
)

// spec completes a specification. Colours are not in it: the page gives them, light or dark.
func spec(title string, values []object, view object) object {
	view["$schema"] = "https://vega.github.io/schema/vega-lite/v6.json" // a name; nothing is fetched from there
	view["description"] = title
	view["width"] = "container"
	view["data"] = object{"values": values}
	return view
}

// lines draws layers with a colour for each cell. A click on a cell in the legend dims the others.
func lines(title string, cells []string, values []object, encoding object, layers ...object) object {
	encoding["color"] = color("cell", cells, 2)
	encoding["opacity"] = object{"condition": object{"param": "chosen", "value": 1}, "value": 0.1}
	layers[len(layers)-1]["params"] = []object{{
		"name": "chosen", "select": object{"type": "point", "fields": []string{"cell"}}, "bind": "legend",
	}}
	return spec(title, values, object{"height": 260, "encoding": encoding, "layer": layers})
}

// withInterval adds the ends of the interval to a value, if they are known.
func withInterval(value object, s stats.Summary) object {
	if s.Known {
		value["lo"], value["hi"] = s.Lo, s.Hi
	}
	return value
}

// interval is a layer of the intervals, on x or y; none if no value has one.
func interval(mark object, axis string, values []object) []object {
	known := slices.ContainsFunc(values, func(v object) bool { _, ok := v["lo"]; return ok })
	if !known {
		return nil
	}
	return []object{{
		"mark":     mark,
		"encoding": object{axis: object{"field": "lo", "type": "quantitative"}, axis + "2": object{"field": "hi"}},
	}}
}

const barHeight = 36 // of a cell's name and bar, in pixels

// cellAxis has the cells' names above their bars, so that the bars keep the width of a telephone for themselves.
func cellAxis() object {
	return object{
		"field": "cell", "type": "nominal", "sort": nil, "title": nil,
		"axis": object{
			"labelAlign": "left", "labelPadding": 0, "labelOffset": -14, "labelLimit": 340,
			"ticks": false, "domain": false, "grid": false, "offset": 0, "zindex": 1, "minExtent": 0, "maxExtent": 0,
		},
		"scale": object{"paddingInner": 0.3, "paddingOuter": 0.3},
	}
}

// amount has no title: that of the picture says it.
func amount() object {
	return object{"field": "value", "type": "quantitative", "title": nil, "scale": object{"zero": true}, "axis": object{"tickCount": 5}}
}

// logarithmic is an axis of times; if one is 0 it cannot be, and is linear.
func logarithmic(values []object) object {
	scale := object{"type": "log", "nice": false}
	for _, v := range values {
		if low, ok := v["lo"].(float64); v["value"].(float64) <= 0 || ok && low <= 0 {
			scale = object{"zero": true}
		}
	}
	return object{"field": "value", "type": "quantitative", "title": nil, "scale": scale, "axis": object{"tickCount": 5}}
}

func color(field string, domain []string, columns int) object {
	return object{
		"field": field, "type": "nominal", "title": nil, "scale": object{"domain": domain},
		"legend": object{"orient": "bottom", "columns": columns, "labelLimit": 160, "symbolType": "square"},
	}
}

// tooltip has pairs of a field and its title.
func tooltip(pairs ...string) []object {
	var fields []object
	for i := 0; i < len(pairs); i += 2 {
		field := object{"field": pairs[i], "type": "nominal"}
		if title := pairs[i+1]; title != "" {
			field["title"] = title
		}
		fields = append(fields, field)
	}
	return fields
}
