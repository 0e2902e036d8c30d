// Package restore makes the directory of a node again from its mirror: it reads what the
// mirror says of the node, checks it against what the node has signed, copies the store,
// takes the keys of a key file or draws new ones, goes on with the log or begins another,
// and counts what the old queue alone had.
//
// The order is Read, Claim, Files, and Finish once the node was opened and has said what was
// lost; the caller opens it. node.json is the last file of the node and restore.json goes
// when all is done, so a restore that is killed at any moment is finished by the same one
// again, and until then no other command opens the directory. The mirror is only read.
//
// What lies in a mirror may have been changed by whoever could write to it: no link leads out
// of it, each file has a bound, and what the node has signed decides where a fingerprint is
// given. Memory is that of the node's small files and of one custody chain.
package restore
