package compare

// What several expectations share.
const (
	docsKinds   = "Watches of several kinds on one path are there side by side, and checkWatches and removeWatches know the types 4 and 5 (3.9)"
	docsPaths   = "The empty path is the root in all reads and watches"
	docsRecord  = "Nothing stands behind an error code"
	docsFlags   = "createContainer with any flags of 0 to 4 makes a container"
	docsTTL     = "createTTL with flags other than the two TTL modes is refused with -8"
	docsParts   = "In a multi, create2 and createContainer are answered with type 15, path and Stat"
	docsExists  = "exists needs READ when the znode is there (3.9.2)"
	docsSilent  = "A watch that the client may not read is armed, and stays silent while that is so"
	docsBehind  = "Nothing behind a closeSession or an unknown opcode is done"
	docsServers = "createSession and deleteContainer, which servers send each other, are refused"
	docsQuotas  = "Quotas count what the earlier ops of a multi did"
)

// Expected are the differences that are meant to be.
var Expected = []Expectation{
	{Story: "*", At: "* event.zxid", Real: "-1", Ours: "z*", Why: "events carry their zxid from 3.9 on", Docs: "Events carry the zxid of their change (3.9)"},

	{Story: "what each right allows *", At: "6 A reply.err", Real: "0", Ours: "-102", Why: "exists needs READ from 3.9.2 on", Docs: docsExists},
	{Story: "events are held against the ACL", At: "4 B reply.err", Real: "0", Ours: "-102", Why: "exists needs READ from 3.9.2 on", Docs: docsExists},
	{Story: "without READ", At: "5 B frames", Real: "event(*), event(*), event(*), reply(*)", Ours: "reply(*)", Why: "what the client may not see is not told by setWatches either", Docs: docsSilent},

	{Story: "after closeSession nothing is done", At: "5 A frames", Real: "reply(*), reply(*), reply(err=-112*", Ours: "reply(*), reply(*), closed(*", Maybe: true, Ends: true, Why: "ZooKeeper may answer -112 before it hangs up", Docs: docsBehind},
	{Story: "unknown in a pipeline", At: "*", Real: "*", Ours: "*", Maybe: true, Why: "ZooKeeper may do what comes behind before it hangs up", Docs: docsBehind},
	{Story: "opcodes between servers -10", At: "2 A frames", Real: "stray(*", Ours: "reply(err=-5*", Ends: true, Why: "ZooKeeper opens a session in the middle of another", Docs: docsServers},

	{Story: "*", At: "* reply.fields", Real: "reply(err=-5 * rest=*)", Ours: "reply(err=-5 *)", Why: "ZooKeeper puts an empty result behind the error of a multi", Docs: docsRecord},

	{Story: "everything in one", At: "1 A reply.1.type", Real: "1", Ours: "15", Why: "the C client can't read what ZooKeeper answers", Docs: docsParts},
	{Story: "creates that fail create2", At: "13 A reply.1.type", Real: "1", Ours: "15", Why: "the C client can't read what ZooKeeper answers", Docs: docsParts},
	{Story: "creates that fail createContainer", At: "13 A reply.1.type", Real: "1", Ours: "15", Ends: true, Why: "ZooKeeper makes an ephemeral of it", Docs: docsParts},
	{Story: "creates that fail createTTL", At: "13 A reply.0.type", Real: "5", Ours: "-1", Ends: true, Why: "ZooKeeper forgets the TTL", Docs: docsTTL},
	{Story: "kinds and flags create2 *", At: "1 A reply.0.type", Real: "1", Ours: "15", Why: "the C client can't read what ZooKeeper answers", Docs: docsParts},
	{Story: "kinds and flags createContainer *", At: "1 A reply.0.type", Real: "1", Ours: "15", Ends: true, Why: "ZooKeeper looks at the flags alone", Docs: docsParts},
	{Story: "kinds and flags createTTL *", At: "1 A reply.0.type", Real: "1*", Ours: "-1", Ends: true, Why: "ZooKeeper looks at the flags alone", Docs: docsTTL},
	{Story: "kinds and flags create 4", At: "1 A reply.0.type", Real: "15", Ours: "1", Why: "ZooKeeper looks at the flags alone", Docs: docsFlags},
	{Story: "kinds and flags create*", At: "1 A reply.err", Real: "-5", Ours: "0", Why: "a TTL mode without a TTL is found too late by ZooKeeper", Docs: "In a multi, flags that don't fit the opcode fail their part with -8"},

	{Story: "hard limit of znodes", At: "17 A reply.0.type", Real: "-1", Ours: "2", Ends: true, Why: "ZooKeeper holds each op of a multi against what was there before", Docs: docsQuotas},
	{Story: "less of too much", At: "8 A reply.err", Real: "-125", Ours: "0", Ends: true, Why: "ZooKeeper refuses what makes it better but not good", Docs: "What uses less of a quota is never refused"},
	{Story: "odd texts *", At: "4 A reply.err", Real: "-5", Ours: "0", Ends: true, Why: "ZooKeeper fails writes below limits that it can't read", Docs: "Limits that can't be read limit nothing"},

	{Story: "both modes", At: "3 B frames", Real: "event(*type=1*)", Ours: "event(*type=1*), event(*type=4*)", Why: "kinds overwrite each other up to 3.8", Docs: docsKinds},
	{Story: "both modes", At: "6 B frames", Real: "event(*type=2*)", Ours: "event(*type=2*), event(*type=4*)", Why: "kinds overwrite each other up to 3.8", Docs: docsKinds},
	{Story: "persistent and one shot", At: "4 B frames", Real: "nothing", Ours: "event(*type=3*)", Why: "kinds overwrite each other up to 3.8", Docs: docsKinds},
	{Story: "persistent and one shot", At: "6 B frames", Real: "nothing", Ours: "event(*type=1*)", Why: "kinds overwrite each other up to 3.8", Docs: docsKinds},
	{Story: "remove * addWatch", At: "3 B reply.err", Real: "0", Ours: "-121", Ends: true, Why: "types 1 and 2 find persistent watches up to 3.8", Docs: docsKinds},
	{Story: "remove recursive *", At: "2 B reply.err", Real: "0", Ours: "-121", Ends: true, Why: "types 1 and 2 find persistent watches up to 3.8", Docs: docsKinds},
	{Story: "remove 4 *", At: "* B reply.err", Real: "-5", Ours: "-121", Why: "type 4 is unknown up to 3.8", Docs: docsKinds},
	{Story: "remove 5 *", At: "* B reply.err", Real: "-5", Ours: "-121", Why: "type 5 is unknown up to 3.8", Docs: docsKinds},
	{Story: "remove 4 addWatch", At: "3 B reply.err", Real: "-5", Ours: "0", Ends: true, Why: "type 4 is unknown up to 3.8", Docs: docsKinds},
	{Story: "remove recursive 4", At: "* B reply.err", Real: "-5", Ours: "-121", Why: "type 4 is unknown up to 3.8", Docs: docsKinds},
	{Story: "remove recursive 5", At: "2 B reply.err", Real: "-5", Ours: "0", Ends: true, Why: "type 5 is unknown up to 3.8", Docs: docsKinds},

	{Story: "the watches of others", At: "* A reply.err", Real: "0", Ours: "-121", Why: "ZooKeeper looks whether anybody has one", Docs: "checkWatches of any type is about the client's own watches"},
	{Story: "a check that holds", At: "1 A frames", Real: "connect(*), unanswered(op=check)", Ours: "connect(*), reply(err=0*)", Why: "ZooKeeper can't encode its answer", Docs: "A check outside a multi is answered"},

	{Story: "odd addWatch", At: "1 A reply.err", Real: "0", Ours: "-5", Why: "a watch of nothing", Docs: docsPaths},
	{Story: "odd removes removeWatches", At: "4 A reply.err", Real: "-121", Ours: "-5", Why: "a watch of nothing", Docs: docsPaths},
	{Story: "odd removes checkWatches", At: "7 A reply.err", Real: "-5", Ours: "-121", Why: "there is no such watch", Docs: docsPaths},
	{Story: "empty path is the root", At: "* A reply.err", Real: "-121", Ours: "0", Why: "ZooKeeper reads the root but watches something else", Docs: docsPaths},
	{Story: "not absolute \"\"", At: "13 A reply.count", Real: "*", Ours: "*", Why: "ZooKeeper counts the root as its own descendant", Docs: docsPaths},

	{Story: "words hash", At: "3 W text.fields", Real: "text(0=ZXID: DIGEST*)", Ours: "text()", Maybe: true, Why: "a digest for every 128th transaction, if there were so many", Docs: "The word `hash` is empty"},

	{Story: "*zookeeper*", At: "*", Real: "*", Ours: "*", Cluster: true, Why: "a ZooKeeper alone has no configuration"},
	{Story: "words *", At: "*", Real: "*", Ours: "*", Cluster: true, Why: "a leader says other things than a server alone"},
	{Story: "taking over", At: "* B frames", Real: "*", Ours: "*", Cluster: true, Why: "the old member hears of it later"},
	{Story: "reconfig", At: "* A reply.err", Real: "-6", Ours: "*", Cluster: true, Why: "a ZooKeeper alone can't be reconfigured"},
}
