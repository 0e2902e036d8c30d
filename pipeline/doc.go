// Package pipeline carries a capture from the Collector to its Seal: the stages
// intake, normalise, preserve and index, the Custody outbox, and the contract of
// the queue between them. pipeline/sqlite is the embedded queue;
// pipeline/queuetest says what every queue must hold to.
//
//	Task → Collector → Intake → "captured" → Normalise → "normalised" → Preserve → "results"
//	                                                         └────────→ Index ←─────────┘
//
// # What is promised
//
// A capture is accepted when [Intake.Accept] returns nil. From then on it is in
// exactly one Seal, whatever dies and whenever, and however often anything is
// repeated. Here is why, step by step: what a crash there leaves behind, and
// what the next process does with it.
//
// # Before acceptance
//
// Large Objects are durable in the store before the message that names them is
// built. A crash leaves Objects that nothing names, which is untidy and harmless,
// and a Task under a lease. The lease runs out, and the Task is taken again.
//
// # Acceptance
//
// The message is made durable and the Task moves: in the embedded queue in one
// transaction, in another queue in this order. So there are three states to
// crash in. Neither is done: the Task is taken again, as above. Both are done:
// accepted. Only the message is: the Task is taken again and captures again,
// under the same ID, because the ID is made of the Task's ID, its step and
// attempt, none of which has moved; the queue keeps the first message of an ID.
// The caller, who got no answer, was told nothing, and nothing he learns later
// is wrong.
//
// That memory of IDs has an end in some queues. It reaches back an hour of plans
// at least (see below), so a Task that was silent for more than half an hour
// draws a new ID before it is given out: its repetition then is another capture,
// sealed beside the first and not taken for it. Who was silent and comes back
// finds that his lease is gone, and nothing of what he publishes is done.
//
// # Normalise
//
// Notes and the stage's position are one step. A crash before it: the messages
// are normalised again, perhaps by a newer program with another answer; nobody
// has seen the first one. After it: the first Note of a position stays, and
// preserve is only ever given positions that normalise has gone past. So nobody
// ever sees two Manifests of one capture. Nonces, secrets, salts and the Custody
// head are in the message already and are not drawn again.
//
// # Plan
//
// A batch is a run of positions, and its Seal's name is made of the first one.
// The plan says which captures, at which positions, and which positions are
// skipped and why. It is created in the store, write-once, before anything else
// of the Seal. A crash before it: no batch was made; the next process forms
// another one, perhaps longer, and nobody knows the difference. After it: the
// next process asks for the plan at its first unacknowledged position, finds it,
// and carries it out instead of an own one. Two processes that both believe to
// own the stage create the same name; one wins and the other adopts.
//
// Because each plan begins where the one before it ended, and positions have no
// gaps, each position is in exactly one plan. Because the queue keeps an ID once,
// or preserve skips the second one (it remembers the IDs of the last 64 plans or
// of the last hour, whichever reaches further, and asks of what is older: see
// [Preserve].Known), each ID is too. That hour is no clock's: it begins before the
// newest plan where none came since, and ends by monotonic time.
//
// # Carrying out
//
// Packs, statement, log entry, inclusion proof: each is write-once or harmless to
// repeat, and [Carrier] says so for its part. Several batches fly at once, which
// the plans allow: they share nothing. A crash leaves some of their parts; the
// next process finds the plans in order, and each part that is there.
//
// # Acknowledgement
//
// In the order of the plans; the result is published, then the position moves
// (one transaction in the embedded queue). A crash before it: the batch is
// carried out again, finds all of it there, and is acknowledged. After it: done.
// A batch that fails holds back those behind it, never those before it, and the
// stage stops with the error; running it again is the recovery.
//
// # Index
//
// The catalog is told after the fact, from positions of its own, and told again
// after a crash; it takes a repetition for nothing. A payload is pruned only when
// its Seal is durable and the catalog knows it.
//
// # An older copy of the queue
//
// A restored backup has forgotten positions that the store has plans for. Its
// next messages would get those positions and would be taken for others. Preserve
// notices: a plan past the queue's end, or one whose captures are not those that
// the queue has at these positions. It carries out what both know, waits until
// all of that is home, and then has the queue draw a new name, under which no
// plan stands. The IDs of the old plans stay in memory, so that what is published
// again is not sealed again.
//
// # What is not sealed
//
// A message that the queue can no longer give back whole, or that is not of its
// form, is poison: it is skipped, the plan says so, its bytes are kept, the log says
// so, and whoever runs the stage has a line of custody say so, which is sealed as
// all are ([Preserve].Poison). It cannot be sealed, and must not hold up all others.
package pipeline
