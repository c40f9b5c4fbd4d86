//go:build !linux

package demo

import "time"

// nativeSleep is the system call of the same name on Linux; elsewhere a timer does.
func nativeSleep(d time.Duration) { time.Sleep(d) }
