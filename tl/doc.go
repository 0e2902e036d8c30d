// Package tl reads what Telegram's servers answer, without changing a byte of
// it: which bytes of an answer are which message ([Split]), the same as JSON in
// the words of Telegram's schema ([AppendJSON]), and what of a message is its
// content, so that a reaction is not taken for an edit ([Content]).
//
// TL, the serialisation of MTProto, is not self-delimiting: only who knows every
// constructor knows where a message ends. So an answer with one constructor that
// this program's schema (layer [Layer]) lacks can be read up to there and no
// further. Nothing is lost by it: the answer is kept as it came, Split says what
// it could read and from where it could not, and whoever asked can ask again for
// the ids behind that place one by one.
//
// A server is a stranger. Sizes, counts and nesting are bounded, and a panic of
// the generated decoder is an error like any other.
package tl
