//go:build !linux

package scoreboard

import "errors"

// Create fails: a worker that runs alone has a Private scoreboard.
func Create(int, int) (*Board, error) {
	return nil, errors.New("scoreboard: only Linux has memfd: a cluster runs on Linux, elsewhere a worker runs alone")
}
