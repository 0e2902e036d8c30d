// Package received takes files that a person handed over into one Acquired:
// each file's exact bytes as an Object of role "received", how they came as
// received.json, and who gave them as giver.json, a restricted Object that the
// Manifest is only committed to.
//
// Nothing is interpreted, unpacked or derived: a mail, an archive, a web page
// stay the bytes that they are. Files are streamed, so memory does not grow with
// them; one that changes while it is read is an error, and then no Object of the
// act may be named anywhere. What is proven later is that these bytes were here
// at T. Where they come from is the giver's word, and says so.
//
// A Digest is of the very buffers that are handed to the disk, as they pass
// (hashing.Copy, in the store's Put): file and Object cannot differ but for a disk
// that writes other bytes than it was given. Nothing is read back here; who
// exports, mirrors or verifies hashes the Object anew and finds that.
package received
