// Package sqlite is the embedded catalog: one SQLite database, written and read
// by any number of processes of one machine.
//
// # Durability
//
// The database is in WAL mode with synchronous=NORMAL: a commit is in the page
// cache, not on the disk. A killed process loses nothing by that. A crash of the
// machine may take back the newest commits, but only whole ones and only from the
// end, and leaves a sound database (SQLite checks each WAL frame's checksum).
// That is safe because the catalog holds nothing of its own: the index stage
// calls Sync, which waits for the disk once per batch, before it acknowledges
// messages; so what was taken back is still in the queue, and is indexed again.
//
// # Writers
//
// Every write is one BEGIN IMMEDIATE transaction: writers of all processes wait
// for each other (Options.Busy), none of them reads what another then changes.
// Readers never wait.
//
// # Text from outside
//
// Sources, names and reasons are stored as bytes (BLOB): SQLite neither
// interprets nor compares them as text.
//
// # Made again in place
//
// Rebuild empties the database inside a transaction and does not replace the
// file, so a process that has it open goes on with the same one; what it indexes
// meanwhile joins what the fold brings. Until the fold has ended every question,
// of every process, is answered with catalog.ErrRebuild: a half-filled catalog
// would look like lost captures. Only a file that SQLite cannot read is removed.
package sqlite
