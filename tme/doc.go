// Package tme reads what the public pages of Telegram say of a channel: the
// embedded post (t.me/NAME/ID?embed=1) and the channel's pages (t.me/s/NAME,
// ?before=ID). They are a second view of the same posts, by the same provider
// through another door, which nobody needs an account for.
//
// It reads the page as it was received, not what a browser made of it, and gives
// the lines of posts.jsonl with the method "web" (docs/bundle.md, section 3). It is
// strict: whatever is not exactly as these pages are is left out and counted, and
// a page that was cut gives nothing. Who calls it has to know that the page came
// from there ([ParseAddress]): nothing in a page proves that.
//
// # What such a page does not say
//
// When a post was edited (only that it was), numbers above a thousand (they are
// rounded), who is behind a forward without a name, what was deleted, and most of
// a service message. A post of an album stands for all of it. Polls without their
// votes, files without their bytes where they are large.
//
// The pages have no version and no promise. What is read here is their form as
// many programs that read them have it; the real site was never reached by a test.
package tme

import "errors"

// ErrPage is wrapped by the error for a page that is none of these, was cut, or is
// too large.
var ErrPage = errors.New("not a public page of a channel")

// Bounds of a page. The service's own have some 20 posts and 200 KB.
const (
	MaxPage  = 2 << 20
	maxPosts = 200
	maxText  = 64 << 10 // bytes of one text; the service allows 4,096 characters
	maxList  = 256
	maxValue = 2048
	maxDepth = 400 // of elements; the parser has a limit of its own
)
