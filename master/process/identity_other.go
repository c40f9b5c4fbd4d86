//go:build !linux

package process

import (
	"fmt"
	"os"
)

func mayChangeUser() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("only root may choose their user, and this is uid %d", os.Geteuid())
	}
	return nil
}

func changingUser() (done func()) { return func() {} }
