package main

import (
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func written(t *testing.T, m prometheus.Metric) *dto.Metric {
	t.Helper()
	out := &dto.Metric{}
	if err := m.Write(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGreet(t *testing.T) {
	before := written(t, greetings).GetCounter().GetValue()
	w := httptest.NewRecorder()
	routes().ServeHTTP(w, httptest.NewRequest("GET", "/greet/anna", nil))
	if n := written(t, greetings).GetCounter().GetValue() - before; n != 1 || w.Body.String() != "Hello, anna!\n" {
		t.Errorf("answer %q, %v greetings were counted, want 1", w.Body, n)
	}
	if n := written(t, lastName).GetGauge().GetValue(); n != 4 {
		t.Errorf("the name has %v bytes, want 4", n)
	}
}
