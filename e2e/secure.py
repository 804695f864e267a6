#!/usr/bin/python3
"""TLS, client certificates and SASL with kazoo, on one member and on three whose leader is killed; certificates and users that change
while the member runs. Needs openssl, python3-kazoo and python3-pure-sasl.   secure.py [CASE...]"""
import logging
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, ConnectionClosedError, ConnectionLoss, InvalidACLError, NoAuthError, SessionExpiredError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import ACL, Id, make_acl, make_digest_acl
import puresasl  # kazoo's SASL needs it, and says so late

import harness
from harness import leader, scratch, single, three, until

assert puresasl

ALL = 31
SUPER = "super:xQJmxLMiHGwaqBvst5y6rkB6HQs="  # of super:admin
USERS = 'bob: "a good password"\nalice: geheim\nroot: root\n'


class Authority:
    """A CA and what it has signed, as files of a directory."""

    def __init__(self, name="ca"):
        self.dir, self.serial = scratch(name), 100
        self.ca = self.path("ca.pem")
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=" + name, "-keyout", self.path("ca.key"), "-out", self.ca)

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *args):
        subprocess.run(["openssl"] + list(args), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def sign(self, name, subject):
        """Makes or replaces NAME.pem and NAME.key, and returns their paths."""
        self.serial += 1
        pem, key, csr, ext = (self.path(name + e) for e in (".pem", ".key", ".csr", ".ext"))
        with open(ext, "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", key + ".new", "-out", csr)
        self.openssl("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.path("ca.key"), "-set_serial", str(self.serial), "-days", "2",
                     "-extfile", ext, "-out", pem + ".new")
        os.rename(key + ".new", key)
        os.rename(pem + ".new", pem)
        return pem, key


class Client(KazooClient):
    """A kazoo client that is connected, until the end of a with."""

    def __init__(self, hosts, **kw):
        super().__init__(hosts, timeout=10.0, **kw)
        try:
            self.start(10)
        except BaseException:
            self.end()
            raise

    def end(self):
        self.stop()
        self.close()

    def __exit__(self, *_):
        self.end()

    def __enter__(self):
        return self


def tls(authority, name=None):
    """kazoo's arguments for TLS, with that certificate."""
    kw = {"use_ssl": True, "ca": authority.ca}
    if name:
        kw.update(certfile=authority.path(name + ".pem"), keyfile=authority.path(name + ".key"))
    return kw


def sasl(user, password):
    return {"sasl_options": {"mechanism": "DIGEST-MD5", "username": user, "password": password}}


def fails(errors, command, *args, **kw):
    try:
        got = command(*args, **kw)
    except errors:
        return
    raise AssertionError("no error of %s, but %r" % (errors, got))


def tls_address(member):
    for field in member.process.said("ready").split():
        if field.startswith("clients-tls="):
            return field.partition("=")[2]
    raise AssertionError("the ready line does not name the TLS port")


def serial(address, authority):
    """The serial number of the certificate that is shown at the address."""
    host, _, port = address.rpartition(":")
    ctx = ssl.create_default_context(cafile=authority.ca)
    with socket.create_connection((host, int(port)), timeout=10) as c, ctx.wrap_socket(c, server_hostname=host) as t:
        return int(t.getpeercert()["serialNumber"], 16)


def flags(authority, *more):
    cert, key = authority.path("server.pem"), authority.path("server.key")
    if not os.path.exists(cert):
        authority.sign("server", "/CN=server")
        authority.sign("bob", "/C=DE/O=Strata, Inc./CN=bob")
        authority.sign("eve", "/CN=eve")
    return ["--zk-tls-listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", key, *more]


def tls_without_client_certificates():
    a = Authority()
    m = single(*flags(a))[0]
    with Client(tls_address(m), **tls(a)) as k, Client(m.zk) as plain:
        seen = []
        k.create("/a", b"x" * 500000)
        assert k.get("/a", watch=seen.append)[0] == b"x" * 500000
        plain.set("/a", b"2")
        until("the event over TLS", lambda: [e.path for e in seen] == ["/a"])
        # Without a CA there are no names of the scheme x509.
        fails(InvalidACLError, k.create, "/b", acl=[make_acl("x509", "CN=bob", all=True)])
        assert k.command(b"ruok") == "imok"
    stranger = Authority("stranger")
    fails(ssl.SSLError, serial, tls_address(m), stranger)
    until("the handshake that failed is warned of", lambda: "TLS handshake failed" in m.tail())


def client_certificates_are_identities():
    a = Authority()
    m = single(*flags(a, "--tls-ca", a.ca, "--zk-port-unification", "--x509-super-user", "CN=root"))[0]
    a.sign("root", "/CN=root")
    bob = Id("x509", "CN=bob,O=Strata\\, Inc.,C=DE")
    for address in (tls_address(m), m.zk):  # a port of its own, and the plain one
        with Client(address, **tls(a, "bob")) as k, Client(address, **tls(a, "eve")) as eve, Client(address, **tls(a, "root")) as root, Client(m.zk) as plain:
            k.create("/bobs", b"1", acl=[ACL(ALL, bob)])
            k.create("/own", b"1", acl=[ACL(ALL, Id("auth", ""))])
            assert k.get_acls("/own")[0] == [ACL(ALL, bob)], k.get_acls("/own")
            for other in (eve, plain):
                fails(NoAuthError, other.get, "/bobs")
                fails(NoAuthError, other.set, "/own", b"")
            assert k.get("/bobs")[0] == b"1" and root.get("/own")[0] == b"1"
            root.delete("/bobs")
            root.delete("/own")
        fails((KazooTimeoutError, ConnectionClosedError, ConnectionLoss), KazooClient(address, **tls(a)).start, 3)


def certificates_change_while_the_member_runs():
    a, next_ca = Authority(), Authority("next")
    m = single(*flags(a))[0]
    at = tls_address(m)
    first = serial(at, a)
    with Client(at, **tls(a)) as k:
        k.create("/mine", ephemeral=True)
        a.sign("server", "/CN=server")
        until("the next handshakes show the new certificate", lambda: serial(at, a) == first + 3)  # bob's and eve's are between them

        with open(a.path("server.key"), "w") as f:
            f.write("broken\n")
        until("a broken key is warned of", lambda: serial(at, a) == first + 3 and "not taken over" in m.tail())
        a.sign("server", "/CN=server")
        until("a mended one is taken", lambda: serial(at, a) == first + 4)

        # Another CA, and SIGHUP instead of waiting.
        os.rename(next_ca.sign("server", "/CN=server")[1], a.path("server.key"))
        os.rename(next_ca.path("server.pem"), a.path("server.pem"))
        m.process.p.send_signal(signal.SIGHUP)
        until("the other CA's certificate is shown", lambda: serial(at, next_ca) == 101)
        fails(ssl.SSLError, serial, at, a)
        # Who was connected has noticed nothing.
        assert k.exists("/mine").ephemeralOwner == k.client_id[0]


def sasl_users():
    users = os.path.join(scratch("users"), "users.yaml")
    with open(users, "w") as f:
        f.write(USERS)
    m = single("--sasl-users", users, "--sasl-super-user", "root", "--super-digest", SUPER)[0]
    with Client(m.zk, **sasl("bob", "a good password")) as bob, Client(m.zk, **sasl("alice", "geheim")) as alice, Client(m.zk) as nobody:
        bob.create("/bobs", b"1", acl=[make_acl("sasl", "bob", all=True)])
        bob.create("/auth", b"1", acl=[ACL(ALL, Id("auth", ""))])
        assert bob.get_acls("/auth")[0] == [ACL(ALL, Id("sasl", "bob"))]
        for other in (alice, nobody):
            fails(NoAuthError, other.get, "/bobs")
        nobody.add_auth("digest", "super:admin")
        assert nobody.get("/bobs")[0] == b"1"
        nobody.set_acls("/bobs", [make_digest_acl("x", "y", all=True)])
        fails(NoAuthError, bob.get, "/bobs")
        with Client(m.zk, **sasl("root", "root")) as root:
            assert root.get("/bobs")[0] == b"1"

    def wrong(user, password):
        k = KazooClient(m.zk, **sasl(user, password))
        try:
            k.start(5)
            k.get("/auth")
        except (AuthFailedError, ConnectionClosedError, ConnectionLoss, SessionExpiredError, KazooTimeoutError):
            return True
        finally:
            k.stop()
            k.close()
        return False

    assert wrong("bob", "wrong") and wrong("eve", "geheim")
    with open(users + ".new", "w") as f:
        f.write(USERS.replace("a good", "another") + "eve: hers\n")
    os.rename(users + ".new", users)
    m.process.p.send_signal(signal.SIGHUP)
    until("the new users are taken over", lambda: "changed files are taken over" in m.tail())
    assert wrong("bob", "a good password")
    with Client(m.zk, **sasl("bob", "another password")) as bob, Client(m.zk, **sasl("eve", "hers")) as eve:
        assert bob.get("/auth")[0] == b"1"
        fails(NoAuthError, eve.get, "/auth")
    assert "password" not in m.tail().replace("no such user, or another password", "")


def only_who_authenticates():
    users = os.path.join(scratch("users"), "users.yaml")
    with open(users, "w") as f:
        f.write(USERS)
    a = Authority()
    m = single(*flags(a, "--tls-ca", a.ca, "--tls-client-auth", "want", "--sasl-users", users, "--enforce-auth-schemes", "sasl,x509"))[0]
    with Client(m.zk, **sasl("alice", "geheim")) as alice, Client(tls_address(m), **tls(a, "bob")) as bob:
        alice.create("/a", b"1")
        assert bob.get("/a")[0] == b"1"
    # kazoo 2.8 does not know the code, so this is a client by hand.
    for address in (m.zk, tls_address(m)):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as c:
            if address != m.zk:
                c = ssl.create_default_context(cafile=a.ca).wrap_socket(c, server_hostname=host)
            c.sendall(struct.pack(">iiqiqi16s", 44, 0, 0, 10000, 0, 16, b""))  # the session is there; whatever is asked is refused
            c.sendall(struct.pack(">iiii1s?", 14, 1, 4, 1, b"/", False))
            got = b"".join(iter(lambda: c.recv(4096), b""))
            assert len(got) == 40 + 20 and struct.unpack(">iiqi", got[40:]) == (16, 1, 0, -124), got
            c.close()
    assert m.word("ruok") == "imok"
    assert "has to authenticate before its first request" in m.tail()


def with_the_leader_killed():
    a = Authority()
    users = os.path.join(scratch("users"), "users.yaml")
    with open(users, "w") as f:
        f.write(USERS)
    cluster = three(*flags(a, "--tls-ca", a.ca, "--sasl-users", users))
    lead = leader(cluster)
    rest = [m for m in cluster if m is not lead]
    hosts = ",".join(tls_address(m) for m in [lead] + rest)
    # Both begin at the leader, by a certificate and a password.
    with Client(hosts, randomize_hosts=False, **tls(a, "bob"), **sasl("alice", "geheim")) as k:
        session = k.client_id[0]
        k.create("/secret", b"0", acl=[ACL(ALL, Id("auth", ""))])
        assert len(k.get_acls("/secret")[0]) == 2
        k.create("/secret/mine", ephemeral=True)
        lead.process.kill()
        for i in range(1, 51):
            k.retry(k.set, "/secret", b"%d" % i)
        assert k.client_id[0] == session and k.exists("/secret/mine").ephemeralOwner == session
        # Certificate and password were shown again, and the ACL is kept by all members.
        assert k.get("/secret")[0] == b"50"
        for m in rest:
            with Client(m.zk, **sasl("alice", "geheim")) as alice, Client(tls_address(m), **tls(a, "eve")) as eve:
                alice.sync("/secret")
                assert alice.get("/secret")[0] == b"50"
                fails(NoAuthError, eve.get, "/secret")


if __name__ == "__main__":
    logging.getLogger("kazoo").addHandler(logging.NullHandler())  # refusals are what most cases are about
    logging.getLogger("kazoo").propagate = False
    sys.exit(harness.run([
        tls_without_client_certificates, client_certificates_are_identities, certificates_change_while_the_member_runs, sasl_users,
        only_who_authenticates, with_the_leader_killed,
    ], sys.argv[1:]))
