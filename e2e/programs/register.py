"""A service that registers itself and serves until it is killed.   register.py HOSTS [HOSTNAME [TIMEOUT]]"""
import signal
import socket
import sys

from kazoo.client import KazooClient

hostname = sys.argv[2] if len(sys.argv) > 2 else socket.gethostname()
timeout = float(sys.argv[3]) if len(sys.argv) > 3 else 10.0

cli = KazooClient(hosts=sys.argv[1], timeout=timeout, randomize_hosts=False)
cli.start()
cli.create("/services/api/%s:9090" % hostname, b"http/json", ephemeral=True, makepath=True)
print("registered", flush=True)
signal.pause()
