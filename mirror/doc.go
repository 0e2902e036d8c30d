// Package mirror keeps a second copy of a node: it copies a store into another
// ([Copier]), and writes and reads what else lies in the directory of a mirror
// ([Dir]): the mark of the state that is copied ([Mark]), and what the node signs of
// it all ([Statement]).
//
// # What is copied, and in which order
//
// The source may grow meanwhile. What is copied is a state that a working store
// could have been in, whenever the copy is cut short:
//
//   - The log ends at one checkpoint, which is read first. Nothing that names a
//     later state of the log is taken: no tile, no part, no Seal whose statement was
//     signed after it.
//   - A Seal is taken only with its plan and all packs that the plan names, and
//     none behind one that is just being made: a restore takes the first gap for
//     the end, and would publish again what is planned behind it.
//   - Objects and packs are written first, then plans, statements and tokens,
//     then tiles, then checkpoints, then the Seals' proofs. So whatever cuts the
//     copy short, a Seal that is there has its packs, and a checkpoint its tiles.
//
// A crash leaves the first part of that order, each file whole; what is left out
// is taken by the next run. Nothing is replaced on either side, and nothing is removed but
// what was erased by order.
//
// # What was erased by order
//
// What is left of a pack, and the tombstones, are copied behind the packs and before the
// plans. Last of all the target loses what the source has lost, if Ordered finds a sealed
// order for it: a file that was removed and a tombstone that was forged take nothing out
// of a copy.
//
// # What is compared
//
// Objects and packs are hashed on their way and are kept only as what their Digests
// say. What both stores have already is compared by its size, with Check by its
// bytes. What cannot be read, has decayed, is other than it should be, or is only
// in the copy, is a Problem, and keeps nothing else from being copied; so a pack
// that has decayed in the source is missing from the copy, and its Seal is not. A
// copy with a Problem is no proof that the source may go.
//
// # What is believed of a mirror
//
// It lies on a disk that others have had in their hands. The mark is written before
// anything of a new state, so a mirror never holds more than its mark says, and a
// node that is behind a mark is an old copy ([ErrNewer]). The statement is written
// before the store of its state is copied, so a store with more than its mark says
// has an older statement beside it. What is not in a statement that a key of the
// node has signed is what somebody has put there.
//
// # Its floor
//
// It stands beside the concrete stores and knows none of them: a source and a
// target are what package storage promises, so any two stores can be copied.
package mirror
