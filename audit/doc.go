// Package audit reads a store again and says what of it is no more as it was
// sealed: what is missing, what has other bytes, and what a store that locks has lost
// of its locks.
//
// # What is read
//
// Each Seal: its plan, each pack (its whole Digest as the plan or the tombstone gives
// it, each entry against its name), its Manifests, that every Object which they name is
// in a pack or the store, and its parts by the judge that sealed it. Each Object: all
// its bytes. Each log: its newest checkpoint, each tile against that, each entry
// against its tile. Each tombstone: that the Event which it names is sealed, says the
// same, and that nothing else was made to disappear. The plans of a queue follow each
// other without a gap, so a Seal that is gone with everything of it is missed.
//
// What is just being made is no fault: a Seal without a statement, for an hour.
//
// # Memory and time
//
// One Manifest, one tile of 256 hashes and, if anything was ever erased, what
// [storage.Tombstones] holds. The walk can be stopped anywhere and taken up again
// from a [State]; what changed behind it meanwhile is seen by the next audit.
//
// A sample is drawn by a reservoir over all names, each Seal and each Object with the
// same chance, by the system's random numbers: who has changed a file cannot know
// whether it will be looked at.
package audit
