//go:build !(linux || darwin || freebsd)

package strong

import "errors"

// statfs does not know, here.
func statfs(string) (free, total uint64, err error) { return 0, 0, errors.ErrUnsupported }
