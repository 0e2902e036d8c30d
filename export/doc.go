// Package export writes Bundles: one ZIP with everything that a stranger needs
// to check Captures without us (docs/bundle.md, section 11).
//
// # How a Bundle is written
//
// Entries are streamed one after the other: exhibits with their Objects, Seals,
// log proofs, Custody, trust material, then the export statement over the list
// of all of them, then the bag and the page for people. What grows with the
// Bundle is that list and what the statement says of each exhibit, some 400 bytes
// a Capture; the statement itself is never held, and no Object. Every Object is
// hashed while it is copied: wrong bytes end the export and no file of the asked
// name appears.
//
// # What a crash leaves behind
//
// [WriteFile] writes beside the destination, under a name that begins with a
// dot and ends in `.part`, makes the bytes durable and only then gives them
// their name. A crash leaves at most that one file, which anybody may delete.
//
// # What it does not do
//
// It gives no verdict, draws no exhibit numbers and appends no Custody line:
// the numbers and lines come through [Cases]. It reads no clock but the one in
// its [Options].
//
// # Rooms
//
// bundle.go goes through the Bundle in order; zip.go is the container; seals.go,
// trust.go and logs.go write what proves; page.go writes what people read;
// policydir.go writes a Policy for verify.sh. The interfaces in export.go are
// what this room needs of its neighbours; cmd adapts them.
package export
