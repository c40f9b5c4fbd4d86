// Package fastdemo is the reference application for the engine on fasthttp: what it answers, and the work behind it, are
// those of package demo.
package fastdemo

import (
	"bytes"
	"errors"
	"os"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/prefork/cluster/worker/demo"
)

const textPlain = "text/plain; charset=utf-8"

// Server serves what demo.Handler does. The error is one of the same variables. It streams bodies, so that /upload takes those of
// any size.
func Server() (*fasthttp.Server, error) {
	data, err := demo.LoadData(os.Getenv("CLUSTER_DEMO_DATA"))
	if err != nil {
		return nil, err
	}
	note, err := demo.RequestLog(os.Getenv("CLUSTER_DEMO_LOG"))
	if err != nil {
		return nil, err
	}
	plaintext, ten := []byte(demo.Plaintext), demo.TenKilobytes()
	handler := func(ctx *fasthttp.RequestCtx) {
		switch string(ctx.Path()) {
		case "/plaintext":
			text(ctx, plaintext)
		case "/10k":
			text(ctx, ten)
		case "/cpu":
			cpu(ctx)
		case "/io":
			wait(ctx, time.Sleep)
		case "/io_native":
			wait(ctx, demo.NativeSleep)
		case "/upload":
			upload(ctx)
		case "/pid":
			jsonText(ctx, demo.Pid())
		case "/app":
			app(ctx, data)
		case "/panic":
			panic(errors.New("/panic was asked for"))
		case "/exit":
			demo.Exit(query(ctx, "code"))
		case "/":
			text(ctx, []byte(demo.FrontPage))
		default:
			fail(ctx, demo.NotFound, fasthttp.StatusNotFound)
		}
	}
	if note != nil {
		silent := handler
		handler = func(ctx *fasthttp.RequestCtx) {
			note(string(ctx.Method()), string(ctx.Path()))
			silent(ctx)
		}
	}
	return &fasthttp.Server{Handler: handler, StreamRequestBody: true, NoDefaultServerHeader: true}, nil
}

// text gives a body away that is not to be changed any more.
func text(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.SetContentType(textPlain)
	ctx.Response.SetBodyRaw(body)
}

func jsonText(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.SetContentType("application/json")
	ctx.Response.SetBodyRaw(body)
}

// fail answers as http.Error does.
func fail(ctx *fasthttp.RequestCtx, why string, status int) {
	ctx.Error(why+"\n", status)
	ctx.SetContentType(textPlain)
	ctx.Response.Header.Set("X-Content-Type-Options", "nosniff")
}

func query(ctx *fasthttp.RequestCtx, name string) string { return string(ctx.QueryArgs().Peek(name)) }

func cpu(ctx *fasthttp.RequestCtx) {
	answer, ok := demo.CPU(query(ctx, "n"))
	if !ok {
		fail(ctx, demo.BadNumber, fasthttp.StatusBadRequest)
		return
	}
	text(ctx, answer)
}

func wait(ctx *fasthttp.RequestCtx, sleep func(time.Duration)) {
	sleep(demo.Wait(query(ctx, "ms")))
	text(ctx, []byte("ok"))
}

func upload(ctx *fasthttp.RequestCtx) {
	body := ctx.RequestBodyStream()
	if body == nil {
		body = bytes.NewReader(ctx.PostBody())
	}
	answer, err := demo.Upload(body)
	if err != nil {
		fail(ctx, err.Error(), fasthttp.StatusBadRequest)
		return
	}
	jsonText(ctx, answer)
}

func app(ctx *fasthttp.RequestCtx, data *demo.Data) {
	if data == nil {
		fail(ctx, demo.NoData, fasthttp.StatusServiceUnavailable)
		return
	}
	ctx.SetContentType(demo.PageType)
	_ = data.Page(ctx) // it writes to memory
}
