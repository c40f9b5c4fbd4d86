package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/prefork/cluster/master/api"
)

// refusal is an error with the status that it is answered with.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func invalid(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

func failure(err error) api.Failure { return api.Failure{Error: err.Error()} }

// answer writes one JSON document. A client that does not read it is left.
func (a *API) answer(w http.ResponseWriter, status int, v any) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(a.writePatience))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with an error: its own status if it is a refusal, 503 if the cluster has ended, else 409, which is what the
// cluster says to a request that it understood and will not do.
func (a *API) refuse(w http.ResponseWriter, err error) {
	status := http.StatusConflict
	var r *refusal
	switch {
	case errors.As(err, &r):
		status = r.status
	case errors.Is(err, ErrEnded):
		status = http.StatusServiceUnavailable
	}
	a.answer(w, status, failure(err))
}

// reply answers with v, or with the error if there is one.
func (a *API) reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		a.refuse(w, err)
		return
	}
	a.answer(w, http.StatusOK, v)
}

func parseQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query %.100q: %w", r.URL.RawQuery, err)
	}
	return query, nil
}

// body reads the JSON object of a request into a struct; no body is an empty object. What the struct does not have is
// refused by its name, since a mistyped field must not be ignored.
func (a *API) body(w http.ResponseWriter, r *http.Request, into any) error {
	if r.ContentLength > maxBody {
		w.Header().Set("Connection", "close") // it is not read
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("the request body has %d bytes, more than the %d allowed", r.ContentLength, maxBody)}
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.As(err, &large):
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("the request body has more than the %d bytes allowed", maxBody)}
	case errors.As(err, &slow) && slow.Timeout():
		w.Header().Set("Connection", "close")
		return &refusal{http.StatusRequestTimeout, fmt.Errorf("the request body did not come within %v", a.readPatience)}
	case err != nil:
		return invalid("request body: %w", err)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return decode(data, into)
}

// decode is strict, unlike package json: names are compared exactly, unknown ones are refused, and so is what follows.
func decode(data []byte, into any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	fields := fieldsOf(reflect.TypeOf(into).Elem())
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return invalid("request body: %w; %s as a JSON object", err, known(fields))
	}
	var unknown []string
	for name := range given {
		if !slices.Contains(fields, name) {
			unknown = append(unknown, fmt.Sprintf("%.50q", name))
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return invalid("unknown in the request body: %s; %s", strings.Join(unknown, ", "), known(fields))
	}
	err := json.Unmarshal(data, into)
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return invalid("%s cannot be %s: give %s", wrong.Field, article(wrong.Value), kinds[wrong.Type.Kind()])
	}
	if err != nil {
		return invalid("request body: %w", err)
	}
	return nil
}

// kinds are the values of requests, for people.
var kinds = map[reflect.Kind]string{reflect.Int: "a whole number", reflect.Bool: "true or false", reflect.String: "a string"}

// article makes a phrase of what package json calls a value: bool, string, number, array, object, or "number 1.5".
func article(value string) string {
	if kind, number, ok := strings.Cut(value, " "); ok && kind == "number" {
		return number
	}
	if strings.HasPrefix(value, "a") || strings.HasPrefix(value, "o") {
		return "an " + value
	}
	return "a " + value
}

// fieldsOf are the names of a request's fields in JSON.
func fieldsOf(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
