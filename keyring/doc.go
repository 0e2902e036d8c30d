// Package keyring is the seal keys of a node over time: which one signs, which ones did,
// since when and until when what they signed counts, and how one follows another.
//
// # On the disk
//
// The list lies in node.json, which is the caller's ([Book]): public halves and periods.
// A private half is a file keys/seal*.pem of the vault, encrypted where the node's keys
// are, or lies in a KMS. The log's key and the own authority's are not in the list: they
// change by other rules.
//
// # A change of keys
//
// [Keeper.Rotate] makes another key the one that signs; with a time it also ends all keys
// that were good then, which were in other hands since. [Keeper.Declare] ends one that
// signs no more. Either is one write of the list, and what it leaves to do is in that
// write ([Left]): a custody line, and to judge anew what was sealed. [Keeper.Finish] does
// it, gives a retired key its end once the last Seal of it is sealed, and then deletes
// its private half: nothing valid can be signed with it, and what is not there cannot be
// stolen.
//
// # What a crash leaves
//
// Before the write a key file that nothing names and nothing was signed with. Behind it
// the change, whole, and its rest for whoever opens the node next: each step of Finish
// may be done twice, and reaches the outside once.
//
// Nothing here locks between processes. Who calls a method of a Keeper holds the node's
// preserve.lock, so that nobody signs meanwhile.
package keyring
