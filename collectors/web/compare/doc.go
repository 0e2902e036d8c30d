// Package compare holds two captures of a page against each other: what they say, word
// by word; how they are built; and how they look, with the regions that differ.
//
// Whether two are the same is decided by the fingerprint of package content alone.
// What that leaves out (counters, advertisements, ways to other pages) is compared
// too and said to be so: [Run.Ignored], [Change.Ignored]. A picture is compared as it
// is, row by row of pixels, and knows of none of that.
//
// # Bounds
//
// 300,000 words of each page and 5,000 changes of how it is built; a picture of at
// most 30 million pixels and 32 MiB, two of them at a time (some 240 MB while it is
// compared); 400 regions of each. Where a bound is met [Result.Cut], or Picture.Why,
// says so. Words and rows are aligned by those that are in both once (patience), and
// between these by Myers' algorithm within a fixed depth: the same two inputs give the
// same result on any machine, within a time that grows with their length.
package compare

import "holdfast/collectors/web/content"

// Op is what became of a part.
type Op string

// The operations; "" is that it is in both.
const (
	Added   Op = "added"
	Removed Op = "removed"
)

// Run is words that belong together: in both pages, or in one of them.
type Run struct {
	Op      Op
	Ignored content.Reason // why it does not count; "": it does
	Text    string         // a line break stands between blocks
}

// Change is one thing of how a page is built that is in one of the two alone.
type Change struct {
	Part    string // title, heading, link, media, head
	Op      Op
	Value   string
	Ignored content.Reason
}

// Result is what came of two documents.
type Result struct {
	Same         bool // of one fingerprint
	A, B         string
	Runs         []Run // all of both, in order
	Changes      []Change
	Added        int // words that count and are in the second alone,
	Removed      int // in the first alone
	IgnoredWords int // that differ and do not count
	Cut          bool
}

const (
	maxWords   = 300_000
	maxChanges = 5_000
)
