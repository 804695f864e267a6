//go:build linux || darwin || freebsd

package strong

import "syscall"

// statfs is the room on the file system of dir for this process, and its size, in bytes.
func statfs(dir string) (free, total uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), uint64(s.Blocks) * uint64(s.Bsize), nil
}
