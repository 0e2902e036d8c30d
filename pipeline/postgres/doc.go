// Package postgres keeps in PostgreSQL what Kafka cannot: the Tasks of the scaled
// queue with their due times and leases, the queue's names, which topics it lies
// in, and where the stage of alerts began. Package pipeline/sqlite does the same
// for the embedded queue, and both hold to one suite (pipeline/queuetest).
//
// # Taking
//
// Rows are taken with FOR UPDATE SKIP LOCKED: any number of nodes take at once, no
// one waits for another, none gets what another has. A lease is a token that goes
// up with each taking and each move; who moves a Task names the token he was given.
// So a lease saves work and is never what correctness hangs on: two that believe to
// hold one both publish under one capture ID, and one of them moves the Task.
//
// # The clock
//
// Leases and due times are measured by the server's clock, which all nodes share;
// theirs may differ. A step of that clock is met as pipeline.TaskTaker says. Callers
// speak in their own time: where theirs is more than two seconds from the server's,
// what they give is taken as so long from now, and what they are given is said as they
// would say it. Else a node that is an hour behind would wait for an hour for leases
// that have run out, and one that is ahead would put a second's pause off for an hour.
//
// # Durability
//
// Adding a Task, taking, finishing and moving it on are on the server's disk when
// the call returns. Taking is, other than in the embedded queue, because here a
// server can crash under those who go on: a taking that it forgot would be made
// again with the same token, and two would hold it. A sign of life, and that an
// unchanged Task is due later, are not waited for (synchronous_commit off for that
// transaction): where a crash takes them, the lease ends earlier.
//
// # A server that goes away
//
// Every call is repeated for up to half a minute while the server cannot be
// reached, which is what a restart or a failover takes. A repeated call finds what
// the first one did: an ID that is there, a lease of its own, a move that is made.
package postgres
