package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handler serves /metrics, /livez (the master runs) and /readyz (a worker serves and the cluster is not stopping).
func Handler(source Source, memory *Sampler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(NewCollector(source, memory), promhttp.HandlerOpts{Timeout: 10 * time.Second, MaxRequestsInFlight: 8}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		v := source.View()
		switch {
		case v.Stopping:
			say(w, http.StatusServiceUnavailable, "draining\n")
		case !v.Healthy():
			say(w, http.StatusServiceUnavailable, "no worker is ready\n")
		default:
			say(w, http.StatusOK, "ready\n")
		}
	})
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
