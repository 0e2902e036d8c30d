// Package alert keeps what is to be told and tells it: to a mailbox over SMTP, to a
// webhook, to a program, to an Atom file. It does not know what is worth telling.
//
// # At least once
//
// An [Event] has an ID that follows from what happened, so who finds the same again
// after a crash adds it again, and nothing comes of that. Each destination has its own
// row: it is told until it has taken what it was told, and only then is that noted. A
// crash in between tells it once more, with the same ID; who receives drops by it.
// What is due is told together, at most [MaxBatch] of one rule in one message.
//
// # Destinations
//
// They are strangers' places or programs, and hear what a Case is about: only HTTPS
// and SMTP with TLS are spoken, certificates are checked against the system's roots,
// no redirect is followed. A webhook's body is signed: see [Sign]. No secret is kept
// here; a [Target] has it for the time of one call.
package alert
