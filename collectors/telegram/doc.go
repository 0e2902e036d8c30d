// Package telegram asks Telegram for public channels through MTProto, by gotd/td,
// with an account of the office's own: [Options.Run] opens a [Line] as one account,
// and a [Collector] acquires channels and posts over it.
//
// # What is kept
//
// Each answer of the service is one act of acquisition, and its bytes are kept as
// they came, after MTProto's own unwrapping (decryption, gzip) and before
// anything reads them. A connection keeps an answer even if nothing in it can be
// understood: what is read from it, is read from the kept bytes (package tl).
//
// # What it may do
//
// Only methods on the list in allow.go are ever sent. They read; none joins,
// votes, marks as read, counts as a view or writes. A method that is not there is
// refused before it reaches the network, so a mistake in this room cannot make the
// observer seen.
// A [Canary] is the one exception, and no Line of a Collector is one: it may send,
// edit and delete posts of its own, in one channel of the office's own, by an account
// that does nothing else.
// With [Options.Pushes] the service may also tell by itself what happens in the
// account's chats; of that the numbers of channels are looked at, and nothing is kept.
// Logging in and out, and gotd's own upkeep of a connection, send what these need
// and nothing else; they go over no Line.
//
// # What it cannot know
//
// MTProto's encryption is symmetric: nobody but the two ends can check that the
// service said this. What is proven of an answer is that the node had these bytes
// not later than T; that Telegram sent them is stated.
package telegram
