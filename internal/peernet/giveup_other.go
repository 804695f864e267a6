//go:build !linux

package peernet

import "syscall"

// giveUpSoon leaves it to keep-alive to find out that a way is cut.
func giveUpSoon(string, string, syscall.RawConn) error { return nil }
