//go:build !linux

package demo

import "time"

// NativeSleep is the system call of the same name on Linux; elsewhere a timer does.
func NativeSleep(d time.Duration) { time.Sleep(d) }
