//go:build !linux

package front

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prefork/cluster/ipc"
	"github.com/prefork/cluster/ipc/scoreboard"
)

// passer cannot be had here: a cluster needs Linux.
type passer struct{}

func newPasser(*ipc.Handover, *scoreboard.Board, *slog.Logger) server { return passer{} }

func (passer) meet(int, *ipc.FD)     {}
func (passer) serve() error          { return errors.ErrUnsupported }
func (passer) drain(context.Context) {}
