// Package postgres is the catalog of the scaled form: a schema of a PostgreSQL
// database, written and read by any number of processes of any number of machines.
// It needs PostgreSQL 14 or later and its extension pg_trgm.
//
// # Durability
//
// Every write is one transaction, and its commit waits for the disk (and for standbys,
// where the server is told so), so Sync has nothing left to do. A write whose answer was
// lost, because the server went away, is made again for Options.Patience: facts are
// idempotent, so it does not matter whether the first one was kept.
//
// # Writers
//
// Writers work beside each other, and each statement sees what others have committed
// (READ COMMITTED). What two of them would change both is under a row lock: of a Seal, of
// a capture ID (table ident), of a Case; all else is only ever added, or folded by
// ON CONFLICT. All take tables in one order, and the rows of a table by key, so they
// seldom wait in a circle; where they do, the server ends one, which begins anew.
//
// # Readers
//
// A question is answered from one state (REPEATABLE READ), takes at most Options.Timeout
// a statement, and waits for no writer.
//
// # Search
//
// A text is kept as the words that package search folds, and the server's own parser has
// no say in what a word is: a tsvector is made of the words as they are, an index of it
// says which texts have them, and phrases are looked for in the words themselves. Parts of
// handles and words of addresses are found by trigrams. The database should have a locale
// of UTF-8 (C.UTF-8 will do): with C trigrams are of ASCII alone, which is slow for other
// scripts, not wrong.
//
// # Schema
//
// Migrations (goose) lie in migrations/, and Open runs those that are missing, one process
// at a time. A schema that is newer than the program is refused with catalog.ErrNewer.
// Where a change of package search makes other words, no migration helps: the catalog is
// made again (catalog.ErrRebuild).
//
// # Made again in place
//
// Rebuild empties the tables in one transaction, which waits for those that read or write.
// Processes that have the catalog open go on, and what they write meanwhile joins what the
// fold brings. Until the fold has ended every question is answered with
// catalog.ErrRebuild: a half-filled catalog would look like lost captures.
package postgres
