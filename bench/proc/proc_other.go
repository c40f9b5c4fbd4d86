//go:build !linux

package proc

import "errors"

func host() (*table, error) { return nil, errors.New("what processes use can be read on Linux only") }
