// Package wire is a bare ZooKeeper client for tests and loads: one connection, requests without waiting, replies with their zxids.
// It does nothing by itself: no pings, no reconnects, no second try.
package wire
