package pipeline

import (
	"encoding/json"

	"holdfast"
)

// Version places a Capture of a page that is watched among those before it. It is
// `version` in the Manifest's `x`; members stand in canonical order. All of it is
// stated, but that the Previous one is the Capture whose Manifest has that Digest can
// be checked with both.
type Version struct {
	Again       holdfast.Time `json:"again,omitzero"` // until when the site asked to be left alone; zero: it did not
	Algorithm   string        `json:"algorithm"`      // of the fingerprints
	Began       holdfast.Time `json:"began,omitzero"` // of the schedule, which counts from then on; zero: by an older program
	Due         holdfast.Time `json:"due"`            // the time of the schedule that it stands for
	Failures    int64         `json:"failures"`       // visits in a row without the page, this one among them
	Fingerprint string        `json:"fingerprint"`    // "": the page did not come, or has no document
	Missed      int64         `json:"missed"`         // times of the schedule between Due and this visit, which nobody was there for
	Number      int64         `json:"number"`         // of versions that were seen, the one of this visit among them
	Previous    *Previous     `json:"previous,omitempty"`
	Schedule    string        `json:"schedule"`
	Since       holdfast.ID   `json:"since"` // the Capture that showed this version first, perhaps this one; "": none yet
	Watch       holdfast.ID   `json:"watch"`
}

// Previous is the visit before.
type Previous struct {
	Capture     holdfast.ID `json:"capture"`
	Fingerprint string      `json:"fingerprint"` // of the newest visit that has one
	Manifest    string      `json:"manifest"`    // its Digest; "" where it was not fixed yet
}

// VersionIn is what a Manifest says of its place among visits; nil: it is none.
func VersionIn(m *holdfast.Manifest) *Version {
	var x struct {
		Version *Version `json:"version"`
	}
	if json.Unmarshal(m.X, &x) != nil {
		return nil
	}
	return x.Version
}
