package catalog

import (
	"context"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/search"
)

// Limits of one answer to a question about texts.
const (
	MaxHits = 1000
	MaxSeen = 1000 // places of one text

	MaxSpoken = 10_000 // channels of which a language is said
)

// TextQuery asks for texts: of pages (title and visible text) and of posts. A zero
// field selects all. What stands in Words applies to a text as it was seen in one
// place; so do all the others, together.
type TextQuery struct {
	Words search.Query

	Member   holdfast.ID // seen in a capture that is at home there, or was added to it
	Channels []string    // of posts of these; then no pages
	Post     int64       // with Channels: only this one
	Sources  []string    // of pages whose Source is one of these or goes on behind it at a / ? or #; then no posts
	Language string      // tag of two letters: guessed from the text, see Hit
	Spoken   []string    // with Language: of posts of these channels texts of no guess count too
	Since    holdfast.Time
	Until    holdfast.Time // said from then on, and up to then; both included

	After *TextCursor // go on behind this one
	Limit int         // at most MaxHits; 0: that

	// Within is for how long texts are looked for; then what was found is answered, and
	// down to where nothing was left out: see Found. 0: until all is found.
	Within time.Duration
}

// TextCursor is a place in the order of Hits: the newest first.
type TextCursor struct {
	At   holdfast.Time
	Text hashing.Digest
}

// AtOrBelow is the place before all texts of a time.
func AtOrBelow(at holdfast.Time) *TextCursor {
	c := TextCursor{At: at}
	for i := range c.Text {
		c.Text[i] = 0xff
	}
	return &c
}

// Hit is one text, and where it was seen.
type Hit struct {
	TextCursor
	Language string  // guessed; "" where nobody would
	Seen     []Place // what the query selects of it, the newest first, at most MaxSeen
	More     bool    // there are more
}

// Place is one place of a text: a post of a channel, or a page in a capture. At is
// when it was said: what the service states of the post, or else when it was first
// received; when the capture of the page began.
type Place struct {
	At      holdfast.Time
	Channel string // with Post
	Post    int64
	Capture holdfast.ID // of a page
}

// Held is a capture that holds an Object, or whose Manifest it is.
type Held struct {
	Digest  hashing.Digest
	Capture Capture
}

// Found is an answer. Objects are there only where the question was for hashes alone:
// the captures that hold all of them, the newest first.
type Found struct {
	Hits    []Hit
	Objects []Held
	More    bool // there are more of either

	// Stopped says that the time was over. Of the texts at Down and newer (zero: of none)
	// nothing is missing among Hits; who asks again with After: Down goes on there.
	Stopped bool
	Down    TextCursor
}

// Unsearched counts captures of which Search knows nothing, or not all.
type Unsearched struct {
	Captures int64 // that are known at all
	Texts    int64 // different ones that are searched
	Unread   int64 // captures with a text that could not be read, or is too long
	Textless int64 // captures that have no text: files, failures, pictures alone
}

// Searcher answers questions about texts.
type Searcher interface {
	// Search takes time with the number of texts that have the words; who calls it
	// bounds that by Within, or by ctx, with whose end there is no answer. What is shown in a Manifest that is not does not count.
	Search(ctx context.Context, q TextQuery) (Found, error)

	// Unsearched says what Search cannot find, of what was accepted.
	Unsearched(ctx context.Context) (Unsearched, error)
}
