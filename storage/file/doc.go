// Package file is the embedded store: one directory of read-only files that
// ls, unzip and sha256sum can read.
//
//	objects/sha256/ab/<64 hex>   an Object, mode 0400
//	<name>                       a write-once name, mode 0400
//	tmp/<16 hex>/<n>             what one open handle is still writing
//
// Folders are 0700. Any number of processes may use one directory at once. It
// must lie on one local file system that has hard links and flock.
//
// # Why a crash loses nothing
//
// Every write, of whatever kind, goes the same way (func commit):
//
//  1. the bytes go to a file in tmp/, which no reader ever opens;
//  2. mode 0400, then fsync: the bytes are on the disk;
//  3. link(2) to the final name: atomic, and it fails where rename would
//     overwrite, so the first one wins without a lock;
//  4. fsync of the folder, and of each parent that may be new, up to the root:
//     the name is on the disk;
//  5. unlink of the tmp/ file.
//
// A crash before 3 leaves a file in tmp/, which the next Open removes once its
// owner is dead (an flock tells). A crash after 3 leaves whole bytes under the
// final name; whoever does the write again finds them there and runs 4. A name
// whose bytes are not on the disk cannot come to be.
//
// # When fsync fails
//
// After a failed fsync the kernel may mark the lost pages clean, so a second
// fsync would lie. The handle therefore stops: every later write is
// storage.ErrStopped, until a new process (or handle) opens the directory and
// writes the bytes anew. A write that fails (no space, I/O error) is an error of
// that write only: its file in tmp/ is dropped and was never visible.
//
// # Foreign files
//
// The tree is walked without following links, and whatever is opened must be a
// regular file that nobody may write to. Anything else is storage.ErrForeign,
// and Accept says so from then on. Open looks at the top folders; List and
// Objects meet what lies deeper.
package file
