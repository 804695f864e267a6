// Package compare plays the same stories to a real ZooKeeper and to Strata, and tells every field in which the answers differ.
//
// A story is a few lines of text (stories/*.txt), each one thing that one connection does. A [Player] plays it over TCP and
// writes down what every connection heard, frame by frame: replies, events, closed connections. [Compare] makes two such
// transcripts comparable, as zxids, times and session ids can't be equal, only stand in the same relations, and lists the
// differences. Those that are meant to be are in [Expected], each with its reason.
//
// What needs the real server (Debian's package zookeeper) is behind the build tag foreign:
//
//	go test -tags foreign ./e2e/compare
//	go test -tags foreign ./e2e/compare -run 'TestStories/sequence'
//	go test -tags foreign ./e2e/compare -run TestRandom -compare.seed 7 -compare.stories 100
//	go test -tags foreign ./e2e/compare -compare.members 3
//	go test -tags foreign ./e2e/compare -compare.route readonly
//
// # The language
//
//	== name | x=a b | y=1 2     a story begins; with lists it is one story for each combination, {x} and {y} replaced, and
//	                            behind the name if they are not in it
//	A create $/a data="x"       connection A, opened at its first line, sends a create; $ is the story's own znode
//	A& set $/a data=y           with the next line in one write: nobody listens in between
//	# remark
//
// After each line without & all connections listen until nothing more comes: each asks for something and waits for that answer.
// Words are separated by blanks; a word, or what is behind its =, may be quoted as in Go. ~ is null.
//
//	create, create2, createContainer, createTTL PATH [data= acl= flags= ttl=]     delete PATH [v=]     exists, get, ls, ls2 PATH [w]
//	set PATH [data= v=]     getACL, count PATH     setACL PATH [acl= v=]     sync PATH     check PATH [v=]     ephemerals PREFIX
//	multi, multiRead [OP ... ; OP ...]     addWatch PATH [mode=]     checkWatches, removeWatches PATH [type=]
//	setWatches, setWatches2 [since= data= exist= child= persistent= recursive=], paths separated by commas
//	auth [scheme= auth= type=]     sasl [token=]     reconfig [join= leave= members= from=]     whoami     ping     close
//	op NUMBER [HEX]             any opcode, with any record
//
// ACLs are PERMS:SCHEME:ID,... or ~ or none. Every request takes xid=, cut= (bytes cut off its end), pad= (hex, behind its end),
// and @NAME, which keeps the zxid of its reply for since=@NAME and zxid=@NAME. Besides requests, a connection does
//
//	connect [timeout= len=44 as=CONN pass= passlen= zxid= version= ro]     as= with the session of another connection
//	send HEX     bytes, after which nobody waits     listen     wait for the next frame that comes by itself
//	drop         hangs up     word WORD [split half newline]     asks a four-letter word on a connection of its own
package compare
