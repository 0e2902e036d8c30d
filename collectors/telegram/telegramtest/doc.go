// Package telegramtest is a Telegram of one's own, for tests and for
// `holdfast bench telegram`: real MTProto over loopback (gotd's server: RSA and
// Diffie-Hellman, several data centres), and behind it a [World] of channels whose
// life the test writes: posts, edits, deletions, reactions, media, and the faults
// that the service is known for. It keeps the truth, so that a test can compare
// with it what was observed.
//
// It answers as the service documents it, as far as a reader of public channels
// needs: logging in by code and password, names, history, messages by id,
// differences, files in parts with their hashes; and as a second user, whom a channel
// lets, posting, editing and deleting there. What it does not know ends in
// METHOD_NOT_IMPLEMENTED, an error that a client must survive too.
package telegramtest
