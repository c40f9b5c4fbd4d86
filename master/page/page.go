// Package page is the page for operators: one HTML page that shows the status of a cluster and its events, live, as GET /v1/stream
// of the same server sends them. It changes nothing, asks no other host, and holds nothing of the cluster itself: all that it
// shows comes over the stream, with the reader's token if one is needed.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var static embed.FS

// policy allows what this server sends and nothing else: no inline script or style, no other host, no frame around the page.
const policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// contentTypes are those of the files by extension. The table of the mime package may differ from one machine to another.
var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one that is served, and its entity tag: a new version of the program is seen at the next request.
type file struct {
	kind, tag string
	content   []byte
}

// Handler serves the page at /page and what it consists of below /page/; it is mounted with these paths, not stripped of them. The
// page asks for v1/stream beside itself, so that a proxy may add a prefix to both.
func Handler() http.Handler {
	return handler(files())
}

type handler map[string]file // by path

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/page/" {
		// Relative, since a proxy's prefix is not known here.
		header.Set("Location", "../page")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	f, ok := h[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	header.Set("Content-Type", f.kind)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", f.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}

// files are all that are embedded. It panics if one cannot be served: the program was built with a wrong one.
func files() handler {
	h := handler{}
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		kind, ok := contentTypes[path.Ext(name)]
		if !ok {
			panic("page: no content type for " + name)
		}
		sum := sha256.Sum256(content)
		at := "/page/" + strings.TrimPrefix(name, "static/")
		if at == "/page/page.html" {
			at = "/page"
		}
		h[at] = file{kind, `"` + hex.EncodeToString(sum[:16]) + `"`, content}
		return nil
	})
	if err != nil {
		panic("page: " + err.Error())
	}
	return h
}
