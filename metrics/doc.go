// Package metrics turns the scoreboard and /proc into Prometheus series, and serves them with the health endpoints.
//
// Invariant: a scrape reads what is there and changes nothing: it sends no message, waits for no worker, and keeps no
// state, so it works while a worker is stopped and any number of servers may scrape. Each counter and histogram series
// of a slot exists from the slot's first day with value 0 and never goes back, whatever dies.
package metrics
