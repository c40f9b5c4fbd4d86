package control

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// document says all of the API; refusals name it.
const document = "docs/control-api.md"

// route is one line of the control API.
type route struct {
	method, path string
	query        []string // keys that may be given
	public       bool     // on the metrics address too
	lasts        bool     // it takes one of the places of those
	handle       func(a *API, w http.ResponseWriter, r *http.Request)
}

var routes = []route{
	{method: "GET", path: "/v1/status", public: true, handle: (*API).status},
	{method: "GET", path: "/v1/version", handle: (*API).version},
	{method: "GET", path: "/v1/events", query: []string{"since", "follow"}, public: true, lasts: true, handle: (*API).events},
	{method: "GET", path: "/v1/stream", query: []string{"since"}, public: true, lasts: true, handle: (*API).stream},
	{method: "GET", path: "/v1/stacks", handle: (*API).stacks},
	{method: "GET", path: "/v1/profile", query: []string{"slot", "kind", "seconds"}, lasts: true, handle: (*API).profile},
	{method: "POST", path: "/v1/restart", lasts: true, handle: (*API).restart},
	{method: "POST", path: "/v1/scale", handle: (*API).scale},
	{method: "POST", path: "/v1/threads", handle: (*API).threads},
	{method: "POST", path: "/v1/log-level", handle: (*API).logLevel},
	{method: "POST", path: "/v1/reload", lasts: true, handle: (*API).reload},
	{method: "POST", path: "/v1/reopen-logs", handle: (*API).reopenLogs},
	{method: "POST", path: "/v1/stop", handle: (*API).stop},
}

// door is a way in: the control socket, or the metrics address.
type door struct {
	api    *API
	public bool
	places chan struct{} // of requests that last
}

func newDoor(a *API, public bool) *door {
	return &door{api: a, public: public, places: make(chan struct{}, maxLasting)}
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := d.api
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.readPatience)) // body, which reads all of it, takes it back
	}
	found, methods := find(r)
	switch {
	case len(methods) == 0:
		a.refuse(w, &refusal{http.StatusNotFound, fmt.Errorf("nothing is at %s: the routes are in %s", r.URL.Path, document)})
		return
	case found == nil:
		w.Header().Set("Allow", strings.Join(methods, ", "))
		a.refuse(w, &refusal{http.StatusMethodNotAllowed, fmt.Errorf("%s is not for %s: give %s", r.Method, r.URL.Path, strings.Join(methods, " or "))})
		return
	case d.public && !found.public:
		a.refuse(w, &refusal{http.StatusForbidden, fmt.Errorf("%s is on the control socket only: here the cluster can be looked at, and not changed", r.URL.Path)})
		return
	}
	if err := found.accepts(r); err != nil {
		a.refuse(w, err)
		return
	}
	if found.lasts {
		select {
		case d.places <- struct{}{}:
			defer func() { <-d.places }()
		default:
			w.Header().Set("Retry-After", "5")
			a.refuse(w, &refusal{http.StatusServiceUnavailable, fmt.Errorf("%d clients follow the cluster already, and no more may: end one of them", cap(d.places))})
			return
		}
	}
	found.handle(a, w, r)
}

// find is the route of a request; nil if its path has none for the method. methods are those of the path.
func find(r *http.Request) (found *route, methods []string) {
	for i := range routes {
		if routes[i].path != r.URL.Path {
			continue
		}
		if methods = append(methods, routes[i].method); routes[i].method == r.Method {
			found = &routes[i]
		}
	}
	return found, methods
}

// accepts refuses what would be ignored: keys of the query that mean nothing, and a body where none is read.
func (t *route) accepts(r *http.Request) error {
	query, err := parseQuery(r)
	if err != nil {
		return err
	}
	var unknown []string
	for key, values := range query {
		if !slices.Contains(t.query, key) {
			unknown = append(unknown, key)
		} else if len(values) > 1 {
			return invalid("%s is given %d times: give it once", key, len(values))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return invalid("unknown in the query: %s; %s", strings.Join(unknown, ", "), known(t.query))
	}
	if t.method == http.MethodGet && r.ContentLength != 0 {
		return invalid("%s %s takes no body", t.method, t.path)
	}
	return nil
}

// known says for people which names may be given.
func known(names []string) string {
	if len(names) == 0 {
		return "nothing can be given"
	}
	return "give " + strings.Join(names, ", ")
}
