package page

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

var (
	pictureFile    = flag.String("picture", "", "write a picture of the page to this file (PNG), for documents")
	pictureOf      = flag.String("picture-of", "", "of the page at this address, after it was open for a while; none: of one made up")
	pictureOpen    = flag.Duration("picture-open", 5*time.Minute, "for how long it is open before")
	pictureScheme  = flag.String("picture-scheme", "light", "light or dark")
	pictureWidth   = flag.Int("picture-width", 1200, "of the window, in pixels; below 600 it is a phone's")
	pictureHeight  = flag.Int("picture-height", 900, "of the window, in pixels")
	pictureWorkers = flag.Int("picture-workers", 8, "of the cluster that is made up")
)

// A tool, not a test: it makes docs/pictures/page-light.png.
func TestPicture(t *testing.T) {
	if *pictureFile == "" {
		t.Skip("only with -picture FILE")
	}
	b := newBrowser(t)
	// Its clock can be advanced, so that five minutes need not be waited for.
	const clock = `{ const now = performance.now.bind(performance); window.ahead = 0; performance.now = () => now() + window.ahead; }`
	var p *tab
	if *pictureOf != "" {
		p = b.open(t, *pictureOf, "")
		timer := time.NewTimer(*pictureOpen)
		defer timer.Stop()
		<-timer.C
	} else {
		f := serve(t)
		const seconds = 300
		s := shop(*pictureWorkers, 5, 0)
		f.send(t, s)
		for _, e := range happenings() {
			f.tell(e)
		}
		p = b.open(t, f.URL+"/page", clock)
		for n := range seconds {
			s = shop(*pictureWorkers, 5, n)
			s.Generation = 3 + n // so that it can be seen which one has come
			p.await(t, fmt.Sprintf(`[...document.querySelectorAll("#topology div")].some((d) => d.textContent === "generation%d")`, max(3, s.Generation-1)))
			evaluate[int](t, p, `window.ahead += 1000`)
			f.send(t, s)
		}
		f.send(t, shop(*pictureWorkers, 5, seconds))
		p.await(t, `[...document.querySelectorAll("#topology div")].some((d) => d.textContent === "generation3")`)
	}
	evaluate[bool](t, p, `(document.querySelector(".expand").click(), true)`) // to show threads, too
	p.prefer(t, "prefers-color-scheme", *pictureScheme)
	p.size(t, *pictureWidth, *pictureHeight, 1, *pictureWidth < 600)
	evaluate[bool](t, p, `new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(true))))`)
	if err := os.WriteFile(*pictureFile, p.picture(t), 0o644); err != nil {
		t.Fatal(err)
	}
}
