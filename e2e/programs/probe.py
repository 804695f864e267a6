"""One client, driven by lines of JSON on stdin.   probe.py HOSTS [read-only]

["exists", PATH] ["get", PATH] ["set", PATH, DATA] ["create", PATH, DATA, EPHEMERAL] ["delete", PATH] ["children", PATH] ["states"] ["mode"]
["sync", PATH] ["multi", PATH, DATA] ["watch", PATH] ["fired"] ["session"] ["connection"] ["isro"] ["close"]
Each is answered by one line of JSON: ["ok", RESULT] or ["error", CLASS, TEXT].
"""
import json
import sys

from kazoo.client import KazooClient

states, fired = [], []
cli = KazooClient(hosts=sys.argv[1], timeout=10.0, randomize_hosts=False, read_only="read-only" in sys.argv[2:])
cli.add_listener(lambda s: states.append(str(s)))
cli.start()
print(json.dumps(["ok", "connected"]), flush=True)


def do(what, *args):
    if what == "exists":
        return cli.exists(args[0]) is not None
    if what == "get":
        return cli.get(args[0])[0].decode()
    if what == "set":
        return cli.set(args[0], args[1].encode()).version
    if what == "create":
        return cli.create(args[0], args[1].encode(), ephemeral=args[2], makepath=True)
    if what == "delete":
        return cli.delete(args[0])
    if what == "children":
        return sorted(cli.get_children(args[0]))
    if what == "states":
        return states
    if what == "mode":
        return cli.command(b"srvr").split("Mode: ")[1].split()[0]
    if what == "sync":
        return cli.sync(args[0])
    if what == "multi":
        t = cli.transaction()
        t.set_data(args[0], args[1].encode())
        return [repr(r) for r in t.commit()]
    if what == "watch":
        return cli.exists(args[0], watch=lambda e: fired.append(e.path)) is not None
    if what == "fired":
        return fired
    if what == "session":
        return "%x" % cli.client_id[0]
    if what == "connection":
        return str(cli.client_state)
    if what == "isro":
        return cli.command(b"isro")
    if what == "close":
        return cli.stop()
    raise ValueError(what)


for line in sys.stdin:
    try:
        answer = ["ok", do(*json.loads(line))]
    except Exception as e:  # whatever it is, the driver judges it
        answer = ["error", type(e).__name__, str(e)]
    print(json.dumps(answer), flush=True)
