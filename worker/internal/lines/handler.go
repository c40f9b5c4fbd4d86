package lines

import "log/slog"

// NewHandler is log/slog's own handler, JSON or text, in front of a Writer, for what an application logs. It makes the line
// before it takes its lock, and holds that only while the line is copied into the ring: no goroutine waits for a
// destination, not even for another one that does. It escapes control characters in keys and values; but JSON leaves DEL
// and C1, which JSON allows, as they are.
func NewHandler(w *Writer, json bool, o *slog.HandlerOptions) slog.Handler {
	if json {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}
