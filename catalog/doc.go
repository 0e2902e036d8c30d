// Package catalog is what is known of a node's captures: Cases, Sources,
// captures, the state of their Seals, exhibit numbers, and where small Objects
// lie. It is an index, never evidence: nothing in it is signed, and nothing may
// be claimed from it that the store does not show.
//
// # A fold over the store
//
// Everything here follows from three kinds of facts: a normalised message
// ([Accepted]), what is known of a Seal ([SealState]), and a custody line, which
// rides in the Accepted of its Event. A catalog holds the union of the facts it
// was given: any order, any repetition, any split into calls gives the same
// answers. So the index stage may be repeated after a crash, several processes
// may index at once, and [Fold] over the store gives what the index stage has
// built: deleting a catalog loses nothing.
//
// Where facts disagree the answer is chosen by their content, never by their
// order of arrival:
//   - a Seal's state is the furthest that was stated (pending, signed, sealed),
//     T the earliest; the reason is that of the latest look at it;
//   - a capture in several Seals shows the furthest of them, then the smallest id;
//   - a Seal whose plan or packs could not be read is [Unplaced] until anybody
//     states them whole;
//   - one capture ID with two Manifests: the one of the smallest position is
//     shown, then of the smallest Digest, and every other one as a [Conflict];
//   - the name of a Case, and an exhibit's number, are those of the earliest
//     custody line that gives one;
//   - the [Record] of a Case is that of the newest line that holds one: of each
//     chain the last, since a clock may be set back, of several chains the latest;
//   - a Capture is named, or added to a Case, once any line says so.
//
// # Posts
//
// An Object of role `posts` ([Answer]) says which posts of a channel one answer
// of the service showed, and which it said are gone. Each is an observation:
// channel, post, Digest of the content, time received, capture, and how it came
// ([HowHistory] and so on). All are kept as they are, and what is said of a post
// is computed when it is asked for ([FoldPost]):
//   - versions are the distinct contents, in the order in which each was first
//     received; a version's interval is [first seen, last seen], and it may
//     overlap another's, since a content can come back. The web's view of a post
//     has contents of another kind: a version there is no edit of one here;
//   - it is absent if the newest that is known is a deletion that the service
//     told, or messageEmpty in an answer that held another post (the control: the
//     channel could be read then). The interval is [last seen, first absent];
//     messageEmpty without a control says nothing of the post: unknown;
//   - what was received in one millisecond counts as gone rather than seen; of two
//     contents of a post in one answer the one that stands later is the newer;
//   - a post that was seen again is there, whatever was said before. The order is
//     that of the times received: an answer that was long on its way may show,
//     until the next one, a post that was deleted meanwhile;
//   - a public page may be an old one. Where the service itself has said something
//     of a post, the page moves neither state nor [last seen, first absent], and its
//     version is not the current one; two versions of the page are an edit;
//   - a post that was never seen is known only if its deletion was told:
//     messageEmpty is also the answer for a number that no post ever had;
//   - views, forwards, reactions and answers are a series, and make no version;
//   - each time in which it was gone is kept ([Absence]), also one that is over.
//
// How far into a channel's changes an answer goes ([Reach], the service's pts) is
// kept with the answer: differences whose ends meet show that nothing lies between.
//
// Of a capture with two Manifests only the answers of the one that is shown
// count. A name is of every channel that an answer stated it for: names move.
//
// # Texts
//
// What a page says, or a post, is searched ([Searcher]): each text once, and where it
// was seen. Which texts are known, and which could not be read, are facts like all
// others: to read one later takes back that nobody had. A catalog keeps their words,
// folded by package search, which says too whether a text answers a question; the
// suite holds every catalog to that.
//
// # The index stage
//
// For each batch of normalised messages: [Read], for an Event ReadLine, for each
// Object of role posts ReadPosts, for a page ReadPage, then Accepted. For each message about a Seal: [Locate] the first time, set state,
// reason, T and At from the message, then Sealed. Then Sync, then acknowledge.
// A crash in between repeats the batch, which changes nothing.
//
// # What a rebuild cannot know
//
// Captures that are in no plan yet live in the queue alone; after a fold the
// index stage reads the queue again from its start. A conflicting Manifest that
// the plan skipped as a duplicate is in no pack: it is known for as long as the
// queue holds it.
//
// # Rooms
//
// catalog/sqlite is the embedded catalog; catalog/catalogtest is the suite that
// every catalog passes.
package catalog

import "errors"

// Errors that callers branch on.
var (
	// ErrNotFound: no such capture or Case is known.
	ErrNotFound = errors.New("not in the catalog")

	// ErrAmbiguous: several Cases have that name; ask by ID.
	ErrAmbiguous = errors.New("several cases have that name")

	// ErrRebuild: the catalog is absent, damaged, of an older form, or its last
	// rebuild did not end. Nothing is lost: `holdfast rebuild` makes it again.
	ErrRebuild = errors.New("the catalog must be made again: run holdfast rebuild (nothing is lost, it is made from the store)")

	// ErrTooLong: the database took longer than one question may take.
	ErrTooLong = errors.New("the database took longer than a question may take: ask for less (a Case, a channel, rarer words)")

	// ErrNewer: a newer program has made this catalog.
	ErrNewer = errors.New("the catalog was made by a newer holdfast: use that version or a later one")
)
