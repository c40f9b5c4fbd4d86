// Command prommetrics is an application that counts with client_golang. Under cluster, what all workers count is on the master's
// /metrics as one application:
//
//	go build -o prommetrics ./examples/prommetrics
//	cluster start -w 2 -- ./prommetrics
//
//	curl http://127.0.0.1:9292/greet/anna
//	curl -s http://127.0.0.1:9394/metrics | grep ^greet
package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/prefork/cluster/worker"
	"github.com/prefork/cluster/worker/prommetrics"
)

var (
	greetings = promauto.NewCounter(prometheus.CounterOpts{Name: "greetings_total", Help: "Greetings, of all workers that there have been."})
	lastName  = promauto.NewGauge(prometheus.GaugeOpts{Name: "greeted_name_bytes", Help: "Length of the last name, the longest of the workers'."})
)

func main() {
	err := worker.Serve(routes(), prommetrics.Option(prometheus.DefaultGatherer, prommetrics.Gauge("greeted_name_bytes", prommetrics.Max)))
	if err != nil {
		slog.Error("prommetrics ends", "err", err)
		os.Exit(1)
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /greet/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		greetings.Inc()
		lastName.Set(float64(len(name)))
		fmt.Fprintf(w, "Hello, %s!\n", name)
	})
	return mux
}
