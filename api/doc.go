// Package api is a node's door for programs and people on other machines: HTTP
// handlers over small interfaces that cmd fills, the tokens that open it, and the
// client that `holdfast … --server URL` is.
//
// openapi.yaml is the contract: every route, field and status stands there, it is
// served at /v1/openapi.yaml, and a test holds real answers against it. Errors are
// problem+json (RFC 9457) whose detail says what to do.
//
// # Who may what
//
// A token names scopes and Cases, and acts as an Agent of its own. It comes in the
// Authorization header and nowhere else: no cookie is read or set, so a page in a
// browser cannot use it, and one that stands in an address is refused, since it
// stands in logs by then. What is at home in another Case, or not there at all, is
// the same "not found". Every call of a token that is known is a line of Custody
// before it is answered: what Custody cannot say is not done. A call whose token is
// not known, or that comes too often, leaves a line in the log alone, since a
// stranger could fill the Custody with it.
//
// # Bounds
//
// 1 MiB of body, 64 KiB of head, 10 s for the head and 30 s for the body; an answer
// may stand still for 30 s; 20 calls at once and 10 a second (100 in a burst) for
// each token; 512 connections in all (who listens sets that one).
package api
