//go:build !linux

package load

import (
	"context"
	"errors"
)

func runBuiltin(context.Context, string, Plan, marks) (Result, error) {
	return Result{}, errors.New("the builtin load generator needs Linux (epoll): take the tool wrk or ab")
}
