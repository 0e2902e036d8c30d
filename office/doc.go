// Package office keeps in PostgreSQL what belongs to all nodes that share a queue, and
// that neither the queue nor the store has: small documents by name (tokens of the API as
// digests, asks, rules of alerts), what alerts have still to tell, and what is watched and
// by which node. None of it is evidence and no secret is in it; lost, tokens and rules are
// made anew.
//
// It has the schema holdfast_office of a database to itself, and remembers the office
// that it is of, by the id of its store. Every call is one transaction, durable on return,
// and is made again for [Options.Patience] while the server is away; so a Book may be used
// by many processes of many nodes at once, and each method by many callers.
package office
