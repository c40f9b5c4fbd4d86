package journal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Key is the attribute that makes an event of a record. Its value is one of Names.
const Key = "event"

// Handler passes records on to next, as its level allows, and adds those with the attribute Key to the journal, whatever
// their level. Values of type Output are for the journal only.
func (j *Journal) Handler(next slog.Handler) slog.Handler {
	return &handler{journal: j, next: next}
}

type handler struct {
	journal *Journal
	next    slog.Handler
	attrs   []slog.Attr // of With, with their groups in the key
	group   string      // open, as a prefix of keys: "a.b."
}

// Enabled is true for all: whether a record is an event shows when its attributes are there.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	fields, private := map[string]any{}, false
	for _, a := range h.attrs {
		add(fields, a)
	}
	r.Attrs(func(a slog.Attr) bool {
		private = private || isOutput(a)
		add(fields, slog.Attr{Key: h.group + a.Key, Value: a.Value})
		return true
	})
	if name, ok := fields[Key].(string); ok {
		delete(fields, Key)
		h.journal.add(Event{Time: r.Time, Level: strings.ToLower(r.Level.String()), Name: name, Message: cut(r.Message, maxText), Fields: fields})
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	if private {
		public := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
		r.Attrs(func(a slog.Attr) bool {
			if !isOutput(a) {
				public.AddAttrs(a)
			}
			return true
		})
		r = public
	}
	return h.next.Handle(ctx, r)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := *h
	own.next, own.attrs = h.next.WithAttrs(attrs), slices.Clone(h.attrs)
	for _, a := range attrs {
		own.attrs = append(own.attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
	}
	return &own
}

func (h *handler) WithGroup(name string) slog.Handler {
	own := *h
	own.next, own.group = h.next.WithGroup(name), h.group+name+"."
	return &own
}

func isOutput(a slog.Attr) bool {
	_, ok := a.Value.Any().(Output)
	return ok
}

// add puts an attribute into fields, as a value that JSON can say and that nothing outside changes any more.
func add(fields map[string]any, a slog.Attr) {
	value := a.Value.Resolve()
	switch value.Kind() {
	case slog.KindGroup:
		for _, member := range value.Group() {
			add(fields, slog.Attr{Key: a.Key + "." + member.Key, Value: member.Value})
		}
		return
	case slog.KindBool, slog.KindInt64, slog.KindUint64:
		fields[a.Key] = value.Any()
		return
	case slog.KindTime:
		fields[a.Key] = value.Time().Format(time.RFC3339Nano)
		return
	}
	if lines, ok := value.Any().(Output); ok {
		lines = lines[max(0, len(lines)-maxLines):]
		kept := make([]string, len(lines))
		for i, line := range lines {
			kept[i] = cut(line, maxLine)
		}
		fields[a.Key] = kept
		return
	}
	fields[a.Key] = cut(fmt.Sprint(value.Any()), maxText)
}

// cut shortens a text to n bytes, between two characters, and says so with an ellipsis. The copy holds no longer text alive.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	end := n - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
