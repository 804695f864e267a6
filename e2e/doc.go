// Package e2e runs the real binary, in real processes, with real clients. The Go tests use go-zookeeper and belong to
// `go test ./...`; the Python programs beside them use kazoo as its users do, need Debian's python3-kazoo (and root, to cut a
// network in two), and are started by .ci/run.
package e2e
