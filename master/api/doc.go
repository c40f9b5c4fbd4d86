// Package api holds the documents of the control API: what the master answers and is asked over its control socket, and,
// read-only, on its metrics address. Fields are added, never changed or removed, within a version (/v1).
package api
