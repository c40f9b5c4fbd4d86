package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestNotes(t *testing.T) {
	handler := routes(&notes{})
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/api/notes", "", http.StatusOK, "[]"},
		{"GET", "/", "", http.StatusOK, "has no notes yet"},
		{"POST", "/api/notes", `{"text":" <b>milk</b> "}`, http.StatusCreated, `"id":1`},
		{"POST", "/api/notes", `{"text":"bread"}`, http.StatusCreated, `"id":2`},
		{"GET", "/api/notes/2", "", http.StatusOK, `"text":"bread"`},
		{"GET", "/", "", http.StatusOK, "&lt;b&gt;milk&lt;/b&gt;"},
		{"GET", "/", "", http.StatusOK, "A process alone"},
		{"GET", "/api/notes/3", "", http.StatusNotFound, "each worker has its own memory"},
		{"GET", "/api/notes/0", "", http.StatusNotFound, "has no note 0"},
		{"GET", "/api/notes/x", "", http.StatusBadRequest, "is a number"},
		{"POST", "/api/notes", `{"text":"  "}`, http.StatusUnprocessableEntity, "1 to 4096 bytes"},
		{"POST", "/api/notes", `{"text":"` + strings.Repeat("x", maxText+1) + `"}`, http.StatusUnprocessableEntity, "1 to 4096 bytes"},
		{"POST", "/api/notes", `{"text":"` + strings.Repeat("x", maxBody) + `"}`, http.StatusBadRequest, "too large"},
		{"POST", "/api/notes", "milk", http.StatusBadRequest, "not a JSON object"},
		{"DELETE", "/api/notes", "", http.StatusMethodNotAllowed, ""},
		{"GET", "/other", "", http.StatusNotFound, ""},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s %s: %d %q, want %d with %q", test.method, test.path, w.Code, w.Body, test.status, test.want)
		}
	}
}

func TestNoteLocation(t *testing.T) {
	handler := routes(&notes{})
	posted := httptest.NewRecorder()
	handler.ServeHTTP(posted, httptest.NewRequest("POST", "/api/notes", strings.NewReader(`{"text":"milk"}`)))
	got := httptest.NewRecorder()
	handler.ServeHTTP(got, httptest.NewRequest("GET", posted.Header().Get("Location"), nil))
	var n note
	if err := json.Unmarshal(got.Body.Bytes(), &n); err != nil || n.Text != "milk" || n.Created.IsZero() {
		t.Errorf("%s: %+v, %v", got.Body, n, err)
	}
}
