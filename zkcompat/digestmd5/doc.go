// Package digestmd5 is the server's side of the SASL mechanism DIGEST-MD5 (RFC 2831), as far as ZooKeeper's clients use it: first
// authentication with qop "auth". A client that asks for integrity, confidentiality or a fast reauthentication is refused.
//
// The mechanism is obsolete: MD5 hides a weak password badly from who listens. Let clients use it over TLS.
package digestmd5
