// Package s3 is the store of an office that outgrew one disk: a bucket of any server
// that speaks Amazon's S3 with versions, object lock and If-None-Match.
//
//	[prefix/]objects/holdfast.json         the marker: that this is a store, and which
//	[prefix/]objects/sha256/ab/<64 hex>    an Object
//	[prefix/]<name>                        a write-once name
//
// It is the layout of storage/file, so to move a store is to copy it, and whoever has
// any tool for S3 reads it by hand. Any number of processes on any number of machines
// may use one store at once. What is being written waits in files without a name on a
// local disk ([Options.Spool]); nothing is composed in memory.
//
// # Why a crash loses nothing
//
// Every write, of whatever kind, goes the same way (func commit):
//
//  1. the bytes go to the spool, and their digests become known;
//  2. the key is asked for: it is free, and no delete marker lies over it;
//  3. one PUT with If-None-Match: *, so the first one wins without a lock, and with the
//     SHA-256 of the whole body in the signature and in the checksum header, so the
//     server refuses bytes that changed on the way; it keeps the checksum;
//  4. the answer says that the server has it. What that is worth when the server loses
//     its power is the server's promise: MinIO fsyncs before it answers, versitygw does
//     not.
//
// What does not fit into one request (more than [Options.PartSize]) is an upload of
// parts. Each part has its own SHA-256, computed in the same pass as that of the
// whole, and If-None-Match stands on the request that completes it, which alone makes
// it visible. The checksum over all parts is compared; a server that gives none is
// read back.
//
// kill -9, by the instant:
//
//   - before 3: the spool has no name, so the kernel frees it. Nothing was visible.
//   - while the body of 3 is on its way: the server has fewer bytes than were announced
//     and drops them. Nothing was visible.
//   - between 3 and 4: the whole is there under its name, and nobody was told. Whoever
//     does the write again finds it: a Put reads it back and compares, a Create is
//     [storage.ErrExists].
//   - between two parts: an unfinished upload, which no reader and no list sees, and
//     which costs room. MinIO removes it after a day; on Amazon give the bucket a
//     lifecycle rule for unfinished uploads (and no other rule: an expiry hides
//     evidence).
//   - between two names of CreateAll or Import: the first of them, whole, in order.
//
// # A lost answer
//
// After 3 the answer may not come: a broken line, a timeout, a 500. To send again would
// find the key taken, by oneself. So each call writes a random token into the metadata
// of what it creates, asks for the key after each failure, and knows its own: exactly
// one call is told that it created a name, whatever was lost. What is on its way is
// waited for even when the caller's context ends, because nobody could tell what came
// of it. Requests that change nothing are sent again by minio-go itself.
//
// # Nobody can take it away
//
// Everything is written with a COMPLIANCE lock of [Options.Retention]: until then
// nobody, the owner of the bucket and its administrator included, can remove that
// version or shorten the lock. It is short, so that what a lawful order names can be
// erased once it has lapsed, and an [Extender] makes it longer on schedule. Retention
// is at least three times the schedule's interval: after each pass all is kept for at
// least two more of them, and where less is left somebody is called. A legal hold
// ([Store.SetHold]) keeps a key for as long as it is on.
//
// A lock keeps a version, not its sight. With the bucket's keys one can lay a delete
// marker over a key or write another version on top. Such a key is never taken for
// missing or for good: reading, asking and creating are [storage.ErrForeign], and so it
// stands in every list ([Store.List], [Store.Objects], [Store.Faults]); the bytes below
// are there, and back in sight when a person removes the marker. A name that was
// written over reads as what lies on top until a list finds it: reading does not ask
// for older versions. An open name stays with the version that it found.
// Give the programs keys that may not delete (s3:DeleteObject, s3:DeleteObjectVersion,
// s3:PutBucket*), but to the one that erases.
//
// # What is not as on a disk
//
// No name is the folder of another, as everywhere; but S3 has no folders, so two calls
// that create "a" and "a/b" at the same instant may both succeed. List tells, except on
// MinIO, which lists nothing below a key that is named as a folder; Faults finds a key
// that no store has put there. No program of ours creates such names.
//
// A store does not know how much room its server has: [Store.Accept] says full from an
// answer that says so. After bytes that cannot be what the server says
// ([storage.ErrStopped]), and when the marker is gone or another's, a handle writes no
// more.
//
// # Servers
//
// MinIO passes everything. versitygw 1.8 passes the suite and keeps its locks; it does
// not fsync, it says of a key under a delete marker that there is none (its lists tell),
// and it lists the delete markers of an answer apart from the versions. A server that
// does not know If-None-Match is refused by Open.
package s3
