// Package storage is the contract of the store: the one place that holds what
// cannot be made again.
//
// # Two doors
//
// An Object is kept by its [hashing.Digest] ([Putter], [Opener]): whoever brings
// bytes learns their name, whoever asks for a name gets those bytes or an error.
// Everything else (plans, packs, statements, tokens, tiles) is kept under a
// write-once name ([Creator], [Reader], [Lister]): the first to create it wins,
// and no later call changes or removes it. There is no delete in them.
//
// # Durable on return
//
// A Put or Create that returned nil survives a crash of the process and of the
// machine. One that returned an error, or never returned, has left nothing
// partial under any name: the whole bytes are there or nothing is. Which of the
// two is not known when the error came from making it durable; doing it again is
// always right. A store that could not make bytes durable refuses further writes
// ([ErrStopped]) instead of hoping.
//
// What another process is creating may be seen a moment before it is durable. So
// read before you build on it only what you or a finished call has created: a
// Create that says [ErrExists], and a Put of bytes that are there, make durable
// what they found.
//
// # Kept from everybody
//
// A [Retainer] is a store that refuses to let bytes go before a time ([Retention]),
// whoever asks, and while a legal hold lies on them. Retention is short and made
// longer on schedule, so that what must be erased can lapse.
//
// # What was erased by order
//
// An [Eraser] alone takes bytes out. Before it does, a [Tombstone] lies in the store:
// the tombstone of the name N is the write-once name `erased/N`, for an Object
// `erased/objects/sha256/<2 hex>/<64 hex>`, because an Object's own folder takes no
// other names. It says which Event ordered it and, for a pack, where the rest lies,
// which is written before it. A name is erased at most once. So whatever a crash
// leaves, every byte that nobody ordered to be erased can be found: by its name or,
// where that is gone, by following the tombstones ([OpenPack]). Who folds the whole
// store, and must not take in what a lock still keeps, loads all of them first
// ([LoadTombstones]).
//
// A tombstone proves nothing: whoever can remove a file can write one. That an order
// was given is what the sealed Event shows, and an audit holds one against the other.
// A verifier of a Bundle reads none; there the Event's custody line stands.
//
// # Rooms
//
// storage/file is the embedded store. storage/storagetest is the suite that every
// store passes. The package imports hashing, canon and the standard library only.
package storage

import "errors"

// Errors that callers branch on. A missing Object or name wraps
// [io/fs.ErrNotExist]; wrong bytes wrap [hashing.ErrMismatch].
var (
	// ErrExists: the name is taken. It is durable, and unchanged.
	ErrExists = errors.New("name exists")

	// ErrFull: too little space is left to accept more, or to write this.
	ErrFull = errors.New("store is full")

	// ErrForeign: something lies in the store that no store has put there, or
	// that somebody has changed: a link, a device, a file of an odd name, of a
	// wrong size or with a mode that lets it be written.
	ErrForeign = errors.New("foreign file in the store")

	// ErrName: not a name that a store takes; see [CheckName].
	ErrName = errors.New("not a store name")

	// ErrStopped: bytes could not be made durable earlier, so nothing more is
	// written through this handle. Reading goes on.
	ErrStopped = errors.New("store has stopped writing")
)
