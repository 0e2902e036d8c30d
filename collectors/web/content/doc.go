// Package content reads what a page says, apart from what changes by itself: how
// often something was viewed, how long ago it was posted, advertisements, ways
// to other pages.
//
// # The fingerprint
//
// [Document.Fingerprint] is SHA-256 over the parts of a document that count, in
// their order, under the rules that [Algorithm] names: equal documents have equal
// ones, always, on any machine. A rule that changes gets another name; two
// fingerprints of different names say nothing of each other. It is a help: that two
// pages have one fingerprint does not say that they are equal, and a site that knows
// the rules can change what they ignore. What counts:
//
//	title     without a number in brackets at its beginning
//	heading   its level and words
//	text      of a block: a paragraph, an item, a cell …
//	link      host and path of where it leads, without query and fragment
//	media     pictures, film, sound: the last name of the path, and the text for who
//	          cannot see it. One of at most 2 pixels is none
//	time      of an element time the attribute, which is absolute, not its words
//
// What does not count has a [Reason]: see there. Where nothing of a document would
// count, everything but counters, controls and what is hidden does: a page that is
// one menu is compared all the same.
//
// A number inside a sentence counts, whatever it counts. Only a block, or a part of
// one that is no sentence, that is a number with the word for what people do on
// such pages ("1,204 views", "views: 1.204", "3 hours ago", in the languages of
// words.go), or a short element with a number that the page itself names after such
// (class="like-count"), is a counter. In doubt a thing counts: a version too many is
// seen, a change that is missed is not.
package content

// Algorithm names the rules of the fingerprint.
const Algorithm = "holdfast-content-1"

// Reason is why a part does not count.
type Reason string

// The reasons; "" is none: it counts.
const (
	Navigation    Reason = "navigation"    // nav, aside, header and footer of the page, menus, lists of other pages
	Advertisement Reason = "advertisement" // named so by the page, or a sponsored link
	Consent       Reason = "consent"       // banners about cookies
	Counter       Reason = "counter"       // how many, how long ago
	Control       Reason = "control"       // buttons and fields
	Hidden        Reason = "hidden"        // hidden by an attribute of its own
)

// Kind is what a Block is.
type Kind string

// The kinds.
const (
	Text    Kind = "text"
	Heading Kind = "heading"
	Media   Kind = "media"
)

// Block is one part of a page, in its order.
type Block struct {
	Kind  Kind
	Level int // of a heading: 1 to 6
	Parts []Part
}

// Part is a run of words of one kind: of a Media block its name and its text.
type Part struct {
	Words   string // one space between words, UTF-8
	Ignored Reason
	link    bool // it says where a link leads, and is not to be read
}

// Link is where a page leads.
type Link struct {
	Address string // absolute, with query, without fragment; at most 2048 bytes
	Ignored Reason
}

// Field is something that the head of a page says.
type Field struct{ Name, Value string }

// Document is what a page says. Its lists are bounded: Cut says that a bound was met.
type Document struct {
	Title  string
	Blocks []Block
	Links  []Link  // each once
	Head   []Field // html lang, meta name and property, link rel=canonical
	Cut    bool
}

// Bounds of a Document.
const (
	maxDocument = 64 << 20
	maxToken    = 4 << 20
	maxDepth    = 4096
	maxBlocks   = 100_000
	maxParts    = 400_000
	maxLinks    = 20_000
	maxHead     = 500
	maxValue    = 2048
)
