// Package main is one site of three that are far apart: a member that takes 20 ms, by default, for each way to the others, and what a site does
// with locks. sites_test.go runs three of them as processes, and measures. By hand, and for longer:
//
//	go test -count=1 -v ./e2e/sites -sites.time 5m
package main
