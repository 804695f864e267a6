// Package e2e runs the real binary, in real processes, with real clients. The Go tests use go-zookeeper and belong to
// `go test ./...`. The Python programs beside them drive the clients that people use elsewhere: kazoo (Debian's python3-kazoo, and a newer
// one that pip fetches), the C client, node's, those of the JVM, and whole applications. They need foreign software, some of them root, to
// cut a network in two; .ci/run installs what they need and starts them. e2e/faults has real members under faults.
package e2e
