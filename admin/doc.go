// Package admin is a member's out-of-band HTTP listener: what probes, scrapers and scripts ask.
//
//	GET /healthz    200 while the process runs
//	GET /readyz     200 when clients are served, else 503 with the reason
//	GET /metrics    Prometheus
//	GET /v1/status  the member's state as JSON, see [Status]
//	GET /v1/backup  a backup of the replicated tree; ?stale=true: without asking the majority
//	GET /v1/members  the members, and how far each has come, see [MemberStatus]
//	POST /v1/members/NAME?change=remove|promote|demote  needs the header Strata-Confirm: members; force=true: see coord.Node.ChangeMember
//	POST /v1/restore  the body, a backup, takes the tree's place; needs the header Strata-Confirm: restore; see [Restored]
//
// The package knows no tier: it is fed by the functions of [Config], and serves as well for a member that is embedded in a
// program of yours.
package admin
