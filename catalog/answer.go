package catalog

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// RolePosts is the role of an Object that holds posts, normalised (bundle.md,
// section 3).
const RolePosts = "posts"

// Limits of such Objects. Of a Manifest that has more of them the first count,
// by name.
const (
	MaxAnswers     = 4        // in one Manifest
	MaxAnswerBytes = 16 << 20 // of one
	MaxPosts       = 16384    // lines of posts in one; and ids in each of its lists
	maxLine        = 1 << 20
	maxNames       = 64
	maxName        = 64
	maxTitle       = 1024
)

// How a post, or its absence, became known.
const (
	HowHistory    = "history"    // a page of the channel's history
	HowUpdate     = "update"     // the service told it by itself
	HowDifference = "difference" // asked for what had changed
	HowSweep      = "sweep"      // asked for by its number
	HowWeb        = "web"        // a public page of the channel
)

// Answer is what one Object of role posts says.
type Answer struct {
	Part     int    // which of the Manifest's Objects of that role, from 0, by name
	Channel  string // its number, decimal
	Title    string
	Names    []string // of the channel, in lower case, without @
	Received holdfast.Time
	How      string
	Posts    []Observed // as received; one post may come twice
	Said     []Said     // of each of Posts what is searched
	Deleted  []int64    // posts that the service told are deleted
	Absent   []int64    // posts that it answered with messageEmpty
	Thread   Thread     // the post below which all of this stands; zero: none
	Reach
}

// Thread is a post of a channel by the channel's number, below which others stand:
// its comments, which are posts of the channel's discussion group.
type Thread struct {
	Channel string
	Post    int64
}

// Reach is how far into the channel's changes an answer goes. The service counts
// them (pts); 0 is "not said".
type Reach struct {
	From    int64 // of a difference: the number that was asked behind
	To      int64 // the number that is known with this answer
	TooLong bool  // the service refused to tell what lies between the two
	Final   bool  // there was no more then
}

// Observed is a post as one answer showed it.
type Observed struct {
	ID             int64
	Place          int            // among the posts of its answer, from 0: of two states of a post the later has the larger
	Kind           string         // message or service
	Content        hashing.Digest // what makes a version
	Text           hashing.Digest // of the UTF-8 text
	Posted, Edited holdfast.Time  // as the service says; zero: not said, or not an edit
	Counters
}

// Said is what is searched of a post. A catalog keeps its words, not the text.
type Said struct {
	Text  string
	Links []string
}

// Counters are numbers that change without an edit; 0 is also "not said".
type Counters struct {
	Views, Forwards, Reactions, Replies int64

	Poll string // of a poll: how it was answered ([Poll]), as canonical JSON; "" of all else
}

// Poll is how a poll was answered. Members stand in canonical order.
type Poll struct {
	Closed  bool    `json:"closed,omitempty"`
	Correct []int64 `json:"correct,omitempty"` // places among its answers, from 0
	Voters  int64   `json:"voters"`
	Votes   []int64 `json:"votes,omitempty"` // of each of its answers; none: not told
}

// maxVotes bounds the answers of a poll that are counted.
const maxVotes = 256

// Count is how many facts a states of posts.
func (a Answer) Count() int { return len(a.Posts) + len(a.Deleted) + len(a.Absent) }

// answerHead is what the catalog reads of the first line.
type answerHead struct {
	Absent, Deleted []int64
	Channel         string
	Count           int64
	Final           bool
	Kind            string
	Method          string
	Names           []string
	PTS, PTSFrom    int64
	Received        holdfast.Time
	Thread          *Thread
	Title           canon.Text
	TooLong         bool
	Version         int64
}

// ParseAnswer reads posts.jsonl from an untrusted place: lines of canonical JSON,
// each with its LF, a head and as many posts as it counts. Members that it does
// not know are passed over. Errors wrap holdfast.ErrForm, or holdfast.ErrNewer
// for a larger version. It keeps nothing of b.
func ParseAnswer(b []byte) (Answer, error) {
	if len(b) > MaxAnswerBytes {
		return Answer{}, badAnswer("%d bytes, at most %d are read", len(b), MaxAnswerBytes)
	}
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return Answer{}, badAnswer("no head")
	}
	h, err := parseHead(line)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{Channel: h.Channel, Title: string(h.Title), Names: h.Names, Received: h.Received, Deleted: h.Deleted, Absent: h.Absent,
		Reach: Reach{From: h.PTSFrom, To: h.PTS, TooLong: h.TooLong, Final: h.Final}}
	if h.Thread != nil {
		a.Thread = *h.Thread
	}
	if a.How, err = how(h.Method); err != nil {
		return Answer{}, err
	}
	a.Posts = make([]Observed, 0, min(h.Count, int64(len(rest))/64)) // no line is shorter
	a.Said = make([]Said, 0, cap(a.Posts))
	for len(rest) > 0 {
		if line, rest, ok = bytes.Cut(rest, []byte("\n")); !ok || int64(len(a.Posts)) >= h.Count {
			return Answer{}, badAnswer("the head counts %d posts, and there is more, or the last is cut", h.Count)
		}
		p, said, err := parseObserved(line)
		if err != nil {
			return Answer{}, fmt.Errorf("post %d: %w", len(a.Posts)+1, err)
		}
		p.Place = len(a.Posts)
		a.Posts, a.Said = append(a.Posts, p), append(a.Said, said)
	}
	if int64(len(a.Posts)) != h.Count {
		return Answer{}, badAnswer("the head counts %d posts, there are %d", h.Count, len(a.Posts))
	}
	return a, nil
}

func badAnswer(format string, a ...any) error {
	return fmt.Errorf("posts: %w: %w", fmt.Errorf(format, a...), holdfast.ErrForm)
}

func parseHead(line []byte) (h answerHead, err error) {
	m, err := readMembers(line)
	if err != nil {
		return h, err
	}
	err = m.read(map[string]any{"absent": &h.Absent, "channel": &h.Channel, "count": &h.Count, "deleted": &h.Deleted, "kind": &h.Kind,
		"method": &h.Method, "names": &h.Names, "received": &h.Received, "title": &h.Title, "version": &h.Version, "thread": &h.Thread,
		"final": &h.Final, "pts": &h.PTS, "pts_from": &h.PTSFrom, "too_long": &h.TooLong})
	switch {
	case err != nil:
		return h, err
	case h.Version > holdfast.Version:
		return h, fmt.Errorf("posts of version %d: %w", h.Version, holdfast.ErrNewer)
	case h.Kind != "posts" || h.Version != holdfast.Version:
		return h, badAnswer("kind %.40q, version %d", h.Kind, h.Version)
	case !validChannel(h.Channel):
		return h, badAnswer("channel %.40q is no decimal number above 0", h.Channel)
	case h.Thread != nil && (!validChannel(h.Thread.Channel) || h.Thread.Post < 1):
		return h, badAnswer("a thread below post %d of channel %.40q", h.Thread.Post, h.Thread.Channel)
	case h.Received.IsZero() || h.Count < 0 || h.Count > MaxPosts || len(h.Title) > maxTitle || min(h.PTS, h.PTSFrom) < 0:
		return h, badAnswer("received, count, title or pts")
	}
	for _, ids := range [][]int64{h.Absent, h.Deleted} {
		if err := checkIDs(ids); err != nil {
			return h, err
		}
	}
	return h, checkNames(h.Names)
}

func checkIDs(ids []int64) error {
	if len(ids) > MaxPosts {
		return badAnswer("a list of %d posts, at most %d", len(ids), MaxPosts)
	}
	for _, id := range ids {
		if id < 1 {
			return badAnswer("post %d", id)
		}
	}
	return nil
}

func checkNames(names []string) error {
	if len(names) > maxNames {
		return badAnswer("%d names, at most %d", len(names), maxNames)
	}
	for _, n := range names {
		if n == "" || len(n) > maxName || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return badAnswer("name %.80q", n)
		}
	}
	return nil
}

// validChannel accepts a decimal of 63 bits above 0, spelt as Go spells it.
func validChannel(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == s
}

// how says it of the method that the answer is of.
func how(method string) (string, error) {
	switch {
	case method == "channels.getMessages", method == "messages.getMessages":
		return HowSweep, nil
	case strings.HasPrefix(method, "messages."), strings.HasPrefix(method, "channels."):
		return HowHistory, nil
	case strings.HasPrefix(method, "updates."):
		return HowDifference, nil
	case strings.HasPrefix(method, "update"):
		return HowUpdate, nil
	case method == "web":
		return HowWeb, nil
	}
	return "", badAnswer("method %.80q", method)
}
