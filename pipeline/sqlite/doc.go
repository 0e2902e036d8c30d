// Package sqlite is the embedded queue: captured, normalised and result
// messages, stage positions and Tasks in one SQLite file, used by any number of
// processes at once on one machine. It implements every interface of the queue
// contract in package pipeline, with one partition, 0.
//
// # Durability
//
// The file is in WAL mode with synchronous=FULL: a transaction that returned is
// on the disk, but for those that are done again where they are lost, without harm
// (doLazy): who holds a Task, that an unchanged one is due later, how far the catalog
// was told, what was pruned. A kill loses these no more than others; only the power can.
// What belongs together is one transaction: messages and the Task
// that they came from; what a stage made and the stage's position. So there is
// no instant at which one is there without the other, and no code that repairs.
//
// # Positions without holes
//
// The last position is a number in a row, read and written in the transaction
// that uses it, under SQLite's one write lock. A transaction that does not
// commit takes its positions back with it; AUTOINCREMENT or a counter in memory
// would not.
//
// # Group commit
//
// The wait for the disk is most of the price of a small transaction. One
// goroutine per handle writes; all calls that arrive while it waits share the
// next transaction. A call that is refused inside it (a lost lease, a stale
// position) is refused before its first write, so that the others can go on.
//
// # What is where
//
// A payload is written once, with its CRC-32C. A Note (what normalise added)
// lies beside it, in a table of its own: SQLite would write the payload anew to
// change a column of its row. Where normalise had nothing to add there is no
// Note, and "normalised" is only the stage's position. Prune deletes payloads;
// IDs stay, in a table of 16-byte keys.
//
// A handle remembers the newest 32 MiB that it has published, so that the stages
// of the same process do not read it again from the file.
package sqlite
