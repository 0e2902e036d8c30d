package api

import (
	"encoding/json"
	"time"

	"holdfast"
)

// Bounds of one call.
const (
	MaxBody    = 1 << 20 // bytes of a body
	MaxSources = 200     // of one ask
	MaxWatches = 1000    // of one call
	MaxPage    = 1000    // captures in one answer
	MaxExport  = 1000    // captures that one bundle is asked for by id
	MaxWait    = 60 * time.Second
	maxKey     = 128 // of an Idempotency-Key
	maxText    = 4096
)

// Ask is the body of POST /v1/captures: what is wanted, as `holdfast capture` takes
// it. Zero values are what the command does where nobody says otherwise.
type Ask struct {
	Sources      []string  `json:"sources"`
	Case         string    `json:"case,omitempty"` // name or id; may be left out where the token is for one Case
	Note         string    `json:"note,omitempty"`
	Reason       string    `json:"reason,omitempty"`    // why something outside the Case's scope is captured all the same
	Via          string    `json:"via,omitempty"`       // a name of the node's egresses, or direct
	Timeout      int       `json:"timeout,omitempty"`   // seconds for one attempt
	RetryFor     int       `json:"retry_for,omitempty"` // seconds
	AllowPrivate bool      `json:"allow_private,omitempty"`
	Session      string    `json:"session,omitempty"` // of pages: one of those that the token may use
	Consent      string    `json:"consent,omitempty"` // refuse or leave
	More         string    `json:"more,omitempty"`    // buttons or none
	Decoded      bool      `json:"decoded,omitempty"`
	Films        string    `json:"films,omitempty"` // yt-dlp, which the node that captures was told of
	Telegram     *Telegram `json:"telegram,omitempty"`
}

// Telegram are the options of channels and posts; their values are those of the
// command's flags.
type Telegram struct {
	Since       string `json:"since,omitempty"`
	Limit       int    `json:"limit,omitempty"`
	Media       string `json:"media,omitempty"`
	MaxSize     string `json:"max_size,omitempty"`
	Stories     bool   `json:"stories,omitempty"`
	Comments    string `json:"comments,omitempty"`
	OldestFirst bool   `json:"oldest_first,omitempty"`
	Links       string `json:"links,omitempty"`
	Web         string `json:"web,omitempty"`
}

// Asked is what has become of an ask.
type Asked struct {
	ID       holdfast.ID   `json:"id"`
	At       holdfast.Time `json:"at"`
	Case     string        `json:"case"`
	CaseID   holdfast.ID   `json:"case_id"`
	Notes    []string      `json:"notes"` // what the caller should know, such as that no account of Telegram's is there
	Tasks    []Task        `json:"tasks"`
	Captures []Capture     `json:"captures"` // of these Tasks so far, oldest first
	More     bool          `json:"more"`     // there are more captures than one answer holds: the newest are here
	Done     bool          `json:"done"`     // no Task of it waits any more
}

// States of a Task.
const (
	TaskWaits   = "waits"
	TaskDue     = "due"  // again, or for its next step, at Due
	TaskHeld    = "held" // somebody is at it
	TaskGone    = "gone" // done, or given up: then there is no Capture of it, and Custody says why
	TaskDamaged = "damaged"
)

// Task is a wish of an ask.
type Task struct {
	ID       holdfast.ID     `json:"id"`
	Source   holdfast.Source `json:"source"`
	State    string          `json:"state"`
	Attempts int             `json:"attempts"`
	Due      *holdfast.Time  `json:"due"`
	Why      string          `json:"why"` // it waits, as far as the node that was asked knows; else ""
}

// Capture is what is known of a Capture: never more than it is. Its members are
// those of a line of `list --json`.
type Capture struct {
	ID        holdfast.ID     `json:"id"`
	Source    holdfast.Source `json:"source"`
	Case      string          `json:"case"` // "" where the token is not for the Case that it is at home in
	CaseID    holdfast.ID     `json:"case_id"`
	Started   holdfast.Time   `json:"started"`
	Ended     holdfast.Time   `json:"ended"`
	Outcome   string          `json:"outcome"`
	State     string          `json:"state"`  // pending, signed or sealed
	Reason    string          `json:"reason"` // why it is less than sealed; "" if it is sealed
	Seal      string          `json:"seal"`
	Manifest  string          `json:"manifest"`
	Exhibit   string          `json:"exhibit"`
	Training  bool            `json:"training"`
	Conflicts int             `json:"conflicts"`
	NotAfter  *holdfast.Time  `json:"not_after,omitempty"` // there if and only if it is sealed

	// Of an ask alone: what its Manifest says of completeness and scope.
	Reasons []string `json:"reasons,omitempty"`
	Outside []string `json:"outside,omitempty"`
}

// Page is one page of a list.
type Page struct {
	Captures []Capture `json:"captures"`
	Next     string    `json:"next"` // the cursor of what follows; "" at the end
}

// WatchAsk is the body of POST /v1/watches: all of it is added, or nothing.
type WatchAsk struct {
	Watches []Watch `json:"watches"`
}

// Watch is one row, as `holdfast watch add` takes it.
type Watch struct {
	Source       string   `json:"source"`
	Cases        []string `json:"cases,omitempty"`
	Lang         string   `json:"lang,omitempty"`
	Note         string   `json:"note,omitempty"`
	Priority     string   `json:"priority,omitempty"`
	Media        string   `json:"media,omitempty"`
	MaxSize      string   `json:"max_size,omitempty"`
	Links        string   `json:"links,omitempty"`
	Web          string   `json:"web,omitempty"`
	Since        string   `json:"since,omitempty"`
	AllowPrivate bool     `json:"allow_private,omitempty"`
	Every        string   `json:"every,omitempty"` // of a page: one of these three
	Cron         string   `json:"cron,omitempty"`
	Zone         string   `json:"zone,omitempty"` // of Cron
	Decaying     bool     `json:"decaying,omitempty"`
	Session      string   `json:"session,omitempty"` // of a page, as of Ask; NoSession: nobody's any more
	Consent      string   `json:"consent,omitempty"`
	More         string   `json:"more,omitempty"`
	Decoded      string   `json:"decoded,omitempty"` // yes or no
	Films        string   `json:"films,omitempty"`   // yt-dlp or none
}

// NoSession stands in the place of a session where there is to be none any more.
const NoSession = "none"

// WatchAdded is what became of one row.
type WatchAdded struct {
	Event  string          `json:"event"` // added or changed
	Source holdfast.Source `json:"source"`
	Cases  []holdfast.ID   `json:"cases"`
}

// WatchesAdded is the answer to a WatchAsk.
type WatchesAdded struct {
	Watches []WatchAdded `json:"watches"`
	Notes   []string     `json:"notes"`
}

// WatchChange is the body of POST /v1/watches/changes: all of it is changed, or nothing.
type WatchChange struct {
	Change  string   `json:"change"` // pause, resume or remove
	Sources []string `json:"sources"`
	Why     string   `json:"why,omitempty"` // why it is watched no more; to be given with remove
}

// What a WatchChange may be.
const (
	WatchPause  = "pause"
	WatchResume = "resume"
	WatchRemove = "remove"
)

// WatchChanged is what became of one Source; one that was so already is not among them.
type WatchChanged struct {
	Event  string          `json:"event"` // paused, resumed or removed
	Source holdfast.Source `json:"source"`
}

// WatchesChanged is the answer to a WatchChange.
type WatchesChanged struct {
	Watches []WatchChanged `json:"watches"`
}

// Watches are the watches of the token's Cases; each is a line of
// `watch list --json`, with the names of other Cases left out.
type Watches struct {
	Watches []json.RawMessage `json:"watches"`
}

// BundleAsk says what is to be exported: a whole Case, or Captures.
type BundleAsk struct {
	Case       holdfast.ID
	Captures   []holdfast.ID
	Restricted bool
	Why, Lang  string
}

// Summary says what is in a Bundle. It comes in the header Holdfast-Export.
type Summary struct {
	Exhibits  int      `json:"exhibits"`
	Unsealed  int      `json:"unsealed"`
	Withheld  int      `json:"withheld"`
	Bytes     int64    `json:"bytes"`
	Statement string   `json:"statement"`
	Notes     []string `json:"notes"`
}
