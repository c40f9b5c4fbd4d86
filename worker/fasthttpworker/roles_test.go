package fasthttpworker

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker"
)

// roles are the programs that the test binary can be.
var roles = map[string]func() error{
	"serve": func() error { return Serve(roleHandler()) },
	"hooks": func() error {
		return Serve(roleHandler(),
			worker.OnBoot(func(i worker.Info) error { fmt.Println("boot", i.Slot); return nil }),
			worker.OnDrain(func() { fmt.Println("drain", worker.Self().Generation) }),
			worker.OnExit(func() { fmt.Println("exit") }))
	},
	"streams": func() error { return server(func(s *fasthttp.Server) { s.StreamRequestBody = true }) },
	"thrifty": func() error {
		return server(func(s *fasthttp.Server) { s.StreamRequestBody, s.ReduceMemoryUsage = true, true })
	},
	"reduced":  func() error { return server(func(s *fasthttp.Server) { s.ReduceMemoryUsage = true }) },
	"own idle": func() error { return server(func(s *fasthttp.Server) { s.IdleTimeout = 200 * time.Millisecond }) },
	"own body": func() error {
		return server(func(s *fasthttp.Server) {
			s.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
				conf := fasthttp.RequestConfig{ReadTimeout: 200 * time.Millisecond, MaxRequestBodySize: 100}
				if len(h.Peek("Large")) > 0 {
					conf.MaxRequestBodySize, conf.ReadTimeout = 5<<20, 0
				}
				return conf
			}
		})
	},
	"own hooks": func() error {
		return server(func(s *fasthttp.Server) {
			s.ErrorHandler = func(ctx *fasthttp.RequestCtx, err error) { ctx.Error("own words", fasthttp.StatusTeapot) }
			s.ContinueHandler = func(h *fasthttp.RequestHeader) bool { return len(h.Peek("Deny")) == 0 }
		})
	},
	"tls": func() error { return server(func(s *fasthttp.Server) { s.TLSConfig = selfSigned() }) },
	"tls idle": func() error {
		return server(func(s *fasthttp.Server) { s.TLSConfig, s.IdleTimeout = selfSigned(), time.Minute })
	},
	"per ip":    func() error { return server(func(s *fasthttp.Server) { s.MaxConnsPerIP = 1 }) },
	"no answer": func() error { return Serve(nil) },
}

func server(change func(*fasthttp.Server)) error {
	s := &fasthttp.Server{Handler: roleHandler()}
	change(s)
	return ServeServer(s)
}

// A gate opens with a byte on standard input, for one handler.
func awaitGate() {
	var b [1]byte
	_, _ = os.Stdin.Read(b[:])
}

func roleHandler() fasthttp.RequestHandler {
	late := fasthttp.TimeoutHandler(func(*fasthttp.RequestCtx) { awaitGate() }, 20*time.Millisecond, "too late")
	latePanic := func(ctx *fasthttp.RequestCtx) { late(ctx); panic("after the timeout") }
	file := filepath.Join(os.TempDir(), "fasthttpworker-"+strconv.Itoa(os.Getpid()))
	return func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/held": // until the file named in the query is there
			for name := string(ctx.QueryArgs().Peek("until")); ; <-time.After(time.Millisecond) {
				if _, err := os.Stat(name); err == nil {
					break
				}
			}
			ctx.SetBodyString("held")
		case "/gate":
			awaitGate()
			ctx.SetBodyString("opened")
		case "/body":
			fmt.Fprintf(ctx, "%d %x", len(ctx.PostBody()), sha256.Sum256(ctx.PostBody()))
		case "/stream":
			sum := sha256.New()
			n, err := io.Copy(sum, ctx.RequestBodyStream())
			fmt.Fprintf(ctx, "%d %x", n, sum.Sum(nil))
			if err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadRequest)
			}
		case "/form":
			form, err := ctx.MultipartForm()
			if err != nil {
				ctx.Error(err.Error(), fasthttp.StatusBadRequest)
				return
			}
			fmt.Fprintf(ctx, "%d", len(form.Value["field"][0]))
		case "/ignore":
			ctx.SetBodyString("did not look")
		case "/drop":
			_ = ctx.Request.CloseBodyStream()
		case "/late":
			late(ctx)
		case "/latepanic":
			latePanic(ctx)
		case "/panic":
			ctx.SetStatusCode(fasthttp.StatusOK)
			ctx.Hijack(echo)
			panic(errors.New("it broke"))
		case "/goexit":
			runtime.Goexit()
		case "/hijack":
			ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
			ctx.Hijack(echo)
		case "/produce":
			ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
				fmt.Fprint(w, "first")
				w.Flush()
				awaitGate()
				fmt.Fprint(w, "last")
			})
		case "/large":
			ctx.SetBodyStream(io.LimitReader(zeros{}, 16<<20), 16<<20)
		case "/endless":
			ctx.SetBodyStream(zeros{}, -1)
		case "/broken":
			ctx.SetBodyStream(broken{}, -1)
		case "/file":
			_ = os.WriteFile(file, []byte(strings.Repeat("file ", 100_000)), 0o600)
			ctx.SendFile(file)
		case "/slow":
			<-time.After(pause)
		case "/gc":
			runtime.GC()
		case "/limited":
			ctx.SetBodyStream(io.LimitReader(zeros{}, 1000), -1)
		case "/closed":
			ctx.SetBodyStream(noted{Reader: strings.NewReader("noted"), log: ctx.Logger()}, -1)
		case "/log":
			ctx.Logger().Printf("the handler says %d", 42)
		case "/status":
			code, _ := strconv.Atoi(string(ctx.QueryArgs().Peek("code")))
			ctx.SetStatusCode(code)
		default:
			fmt.Fprintf(ctx, `{"pid":%d}`, os.Getpid())
		}
	}
}

// echo is a protocol of its own.
func echo(nc net.Conn) { _, _ = io.Copy(nc, nc) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// noted logs that fasthttp is done with it.
type noted struct {
	io.Reader
	log fasthttp.Logger
}

func (n noted) Close() error { n.log.Printf("closed"); return nil }

func (n noted) CloseWithError(err error) error { n.log.Printf("closed with %v", err); return nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { panic("the stream broke") }
