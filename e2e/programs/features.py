"""A program that follows its configuration.   features.py HOSTS

Prints "data VALUE" for each change of /configs/features and "children NAMES" for each change of what is below it.
"""
import signal
import sys

from kazoo.client import KazooClient

cli = KazooClient(hosts=sys.argv[1], randomize_hosts=False)
cli.start()
cli.ensure_path("/configs/features")


@cli.DataWatch("/configs/features")
def changed(data, stat):
    print("data", (data or b"").decode(), flush=True)


def cb(event):
    show()


def show():
    children = cli.get_children("/configs/features", watch=cb)
    print("children", ",".join(sorted(children)), flush=True)


show()
signal.pause()
