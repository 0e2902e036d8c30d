// Package coverage says what is known of a channel, or of a watched page, over time, and what
// is not: which numbers of posts were seen, are gone or missing, and why where that is known;
// when nobody was heard; which times of a schedule passed without the page.
//
// A statement is a fold of the catalog and of custody, so it is the same after a rebuild, and
// holds no time of its making: what says the same has the same bytes. What nobody ever asked
// or was told is unknown, and is never called deleted. Lists have bounds ([MaxRanges]), and
// a statement that lists less than there is says so (cut); the counts are of all. Nothing is
// written here.
package coverage
