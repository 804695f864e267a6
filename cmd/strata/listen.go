package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/strata-coord/strata/coord"
)

// listen opens the address that a flag names; an empty one is nobody's.
func listen(flag, addr string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, addressError(flag, addr, err)
	}
	return l, nil
}

// addressError says what to do about an address that can't be listened on.
func addressError(flag, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: the address is in use: stop the process that has it (another strata, or a ZooKeeper?), or choose another with %s", flag, addr, flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s %s: this machine has no such address: choose one of its own with %s", flag, addr, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s %s: not permitted: choose a port above 1023 with %s", flag, addr, flag)
	}
	return fmt.Errorf("%s %s: %w", flag, addr, err)
}

// explain turns what coord refuses into the words of the command line.
func explain(err error, s *settings) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "listen" {
		return addressError("--bind", s.bind, err)
	}
	for _, c := range []struct {
		is   error
		flag string
	}{
		{coord.ErrForeignDir, "--data-dir"}, {coord.ErrCorruptDir, "--data-dir"}, {coord.ErrDirInUse, "--data-dir"},
		{coord.ErrOtherName, "--data-dir"}, {coord.ErrNameTaken, "--name"},
	} {
		if errors.Is(err, c.is) {
			return fmt.Errorf("%s: %w", c.flag, err)
		}
	}
	return err
}

// free fails if the address can't be listened on now.
func free(flag, addr string) error {
	l, err := listen(flag, addr)
	if err != nil {
		return err
	}
	return l.Close()
}
