// Package faults holds tests of real members, in network namespaces of their own, under SIGKILL, SIGSTOP, cut networks and full disks.
// They need Linux, root and iproute2, and so the build tag foreign: .ci/run starts them. What their clients see goes into an
// internal/history, which judges it. By hand, and for longer:
//
//	go test -tags foreign -count=1 -v ./e2e/faults -run TestMixedFaults -faults.time 10m -faults.seed 7 -timeout 30m
//	go test -tags foreign -count=1 -v ./e2e/faults -run TestElections -elections.trials 20 -elections.load 1m -elections.strict
package faults
