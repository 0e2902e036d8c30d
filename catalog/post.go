package catalog

import (
	"cmp"
	"slices"

	"holdfast"
	"holdfast/hashing"
)

// States of a post.
const (
	Present = "present"
	Edited  = "edited" // there, and more than one version of it was seen
	Absent  = "absent"
	Unknown = "unknown" // the last answer about it said nothing that can be relied on
)

// Post is what is known of one post of a channel.
type Post struct {
	Channel  string
	ID       int64
	State    string
	Versions []Version // in the order of first observation; none: only its deletion was told
	Current  int       // of Versions: the one that the service showed last; its public page's only where it is all there is
	LastSeen holdfast.Time
	Gone     *Sight // the first that says Absent, or Unknown, behind LastSeen; nil while it is there
	Told     bool   // Gone is a deletion that the service told, not messageEmpty
	Series   []Count
	Absences []Absence // in order; one that is not over is what State, Gone and Told say
}

// Absence is a time in which it was not there, or in which no answer about it can
// be relied on.
type Absence struct {
	State       string        // Absent or Unknown
	Told        bool          // a deletion that the service told
	After       holdfast.Time // it was last seen then; zero: never before
	First, Last Sight         // the first and the last that said so
	Back        holdfast.Time // it was seen again then; zero: not since
}

// Version is one content of a post, as it was first observed.
type Version struct {
	Kind           string
	Content, Text  hashing.Digest
	Posted, Edited holdfast.Time
	First, Last    Sight
}

// Sight is the capture in which something was seen, or was not.
type Sight struct {
	At      holdfast.Time
	How     string
	Capture holdfast.ID
	State   string // of that capture: Pending, Signed, Sealed
}

// Count is what the counters were.
type Count struct {
	Sight
	Counters
}

// Fact is one thing that an answer says of one post.
type Fact struct {
	Sight
	Kind     FactKind
	Observed Observed // if Kind is Seen
}

// FactKind says what a Fact is. Of facts of one time the order is this one.
type FactKind int

// The kinds.
const (
	Seen      FactKind = iota
	Empty              // messageEmpty, and no other post in the answer
	EmptyNext          // messageEmpty beside another post
	Told               // its deletion was told
)

// Facts returns what a says of posts. The Sight is the caller's: At and How are
// those of a, wherever they are kept.
func (a Answer) Facts(yield func(id int64, k FactKind, o Observed)) {
	for _, p := range a.Posts {
		yield(p.ID, Seen, p)
	}
	empty := Empty
	if len(a.Posts) > 0 {
		empty = EmptyNext
	}
	for _, id := range a.Absent {
		yield(id, empty, Observed{})
	}
	for _, id := range a.Deleted {
		yield(id, Told, Observed{})
	}
}

// FoldPost says what follows from all facts about one post. Their order does not
// matter; it sorts them. ok is false if nothing was ever seen of it and nobody
// told its deletion: whether there ever was such a post is not known.
func FoldPost(channel string, id int64, facts []Fact) (p Post, ok bool) {
	slices.SortFunc(facts, compareFacts)
	f := postFolder{Post: Post{Channel: channel, ID: id, State: Unknown}, index: make(map[versionKey]int, 1)}
	for _, fact := range facts {
		if fact.Kind == Seen {
			f.seen(fact)
		} else {
			f.gone(fact)
		}
	}
	return f.Post, f.Told || len(f.Versions) > 0
}

type postFolder struct {
	Post
	index map[versionKey]int
	kinds [2]int // versions of each kind of content
	own   bool   // the service itself has said something of it, and not its public page alone
}

// versionKey keeps contents apart that cannot be compared.
type versionKey struct {
	content hashing.Digest
	kind    int
}

func (f *postFolder) seen(fact Fact) {
	o, key := fact.Observed, versionKey{content: fact.Observed.Content}
	if fact.How == HowWeb {
		key.kind = 1
	}
	i, known := f.index[key]
	if !known {
		i = len(f.Versions)
		f.index[key] = i
		f.kinds[key.kind]++
		f.Versions = append(f.Versions, Version{Kind: o.Kind, Content: o.Content, Text: o.Text, Posted: o.Posted, Edited: o.Edited, First: fact.Sight})
	}
	f.Versions[i].Last = fact.Sight
	f.Series = append(f.Series, Count{fact.Sight, o.Counters})
	switch {
	case key.kind == 0:
		f.own = true
	case f.own && f.State != Unknown: // a public page may be an old one: it moves nothing that the service has said
		if f.State == Present && f.kinds[1] > 1 {
			f.State = Edited
		}
		return
	}
	if key.kind == 0 || f.kinds[0] == 0 {
		f.Current = i
	}
	if f.Gone != nil {
		f.Absences[len(f.Absences)-1].Back = fact.At
	}
	f.LastSeen, f.Gone, f.Told = fact.At, nil, false
	if f.State = Present; max(f.kinds[0], f.kinds[1]) > 1 {
		f.State = Edited
	}
}

// gone keeps the first that says it is not there. Of a post that was never seen
// that is a deletion: messageEmpty may have come before there was such a post.
func (f *postFolder) gone(fact Fact) {
	first := f.State != Absent || fact.Kind == Told && !f.Told && len(f.Versions) == 0
	open := f.Gone != nil
	switch {
	case fact.Kind == Empty && !open:
		f.State, f.Gone = Unknown, &fact.Sight
	case fact.Kind != Empty && first:
		f.State, f.Gone, f.Told = Absent, &fact.Sight, fact.Kind == Told
	case fact.Kind == Empty && f.State == Absent:
		return // it says nothing, and there is better
	}
	if !open {
		f.Absences = append(f.Absences, Absence{After: f.LastSeen})
	}
	a := &f.Absences[len(f.Absences)-1]
	a.State, a.Told, a.First, a.Last = f.State, f.Told, *f.Gone, fact.Sight
	f.own = f.own || f.State == Absent
}

// compareFacts is a total order: whatever two facts differ in decides, so that no
// answer hangs on the order in which they came.
func compareFacts(a, b Fact) int {
	x, y := a.Observed, b.Observed
	return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Capture, b.Capture), cmp.Compare(a.How, b.How),
		cmp.Compare(x.Place, y.Place), x.Content.Compare(y.Content), x.Text.Compare(y.Text), cmp.Compare(x.Kind, y.Kind), x.Posted.Compare(y.Posted.Time), x.Edited.Compare(y.Edited.Time),
		cmp.Compare(x.Views, y.Views), cmp.Compare(x.Forwards, y.Forwards), cmp.Compare(x.Reactions, y.Reactions), cmp.Compare(x.Replies, y.Replies))
}

// PostedAt is when a post was posted, as far as anything says it.
func (p Post) PostedAt() holdfast.Time {
	for _, v := range p.Versions {
		if !v.Posted.IsZero() {
			return v.Posted
		}
	}
	if len(p.Versions) > 0 {
		return p.Versions[0].First.At
	}
	if p.Gone != nil {
		return p.Gone.At
	}
	return holdfast.Time{}
}
