package coverage

import (
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/heard"
)

func at(minutes int) holdfast.Time {
	return holdfast.At(time.Date(2026, 3, 1, 8, minutes, 0, 0, time.UTC))
}

// TestSilences lists what is longer than the resolution between what was heard, and up to the
// window's ends, where it has any.
func TestSilences(t *testing.T) {
	spans := []heard.Span{{From: at(0), To: at(10)}, {From: at(25), To: at(30)}, {From: at(46), To: at(50)}}
	for name, c := range map[string]struct {
		w    Window
		want string
	}{
		"open":            {Window{}, "30-46 "},
		"from before":     {Window{Since: at(-20)}, "-20-0 30-46 "},
		"from just now":   {Window{Since: at(-15)}, "30-46 "},
		"up to behind":    {Window{Until: at(66)}, "30-46 50-66 "},
		"between":         {Window{Since: at(12), Until: at(45)}, ""},
		"ends within one": {Window{Since: at(26), Until: at(27)}, ""},
	} {
		d := new(Channel)
		d.silences(spans, c.w)
		got := ""
		for _, s := range d.Unheard {
			got += fmt.Sprintf("%.0f-%.0f ", s.After.Sub(at(0).Time).Minutes(), s.Before.Sub(at(0).Time).Minutes())
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestBounds: a list that has all it may have says that it is cut, and the counts go on.
func TestBounds(t *testing.T) {
	d := new(Channel)
	for i := range int64(MaxRanges + 5) {
		d.missing(3*i+1, 3*i+2, whyUnknown)
	}
	if len(d.Missing) != MaxRanges || !d.Cut || d.IDs.Missing != 2*(MaxRanges+5) {
		t.Errorf("%d ranges, cut: %t, %d numbers", len(d.Missing), d.Cut, d.IDs.Missing)
	}
	d = new(Channel)
	d.missing(1, 2, whyUnknown)
	d.missing(3, 3, whyUnknown)
	d.missing(4, 4, whyTold)
	d.missing(9, 8, whyTold)
	if fmt.Sprint(d.Missing) != "[{1 3 unknown} {4 4 deletion-told}]" || d.IDs.Missing != 4 {
		t.Errorf("%v, %d numbers", d.Missing, d.IDs.Missing)
	}
}

// TestGone: only what an answer says is called gone, and by what.
func TestGone(t *testing.T) {
	seen := []catalog.Version{{}}
	d := new(Channel)
	for i, p := range []catalog.Post{{State: catalog.Present, Versions: seen}, {State: catalog.Edited, Versions: seen}, {State: catalog.Absent, Versions: seen, Told: true},
		{State: catalog.Absent, Versions: seen}, {Versions: seen}, {State: catalog.Absent}, {}} {
		p.ID = int64(i + 1)
		d.post(p)
	}
	if fmt.Sprint(d.Gone, d.Missing) != "[{3 3 deletion-told} {4 4 empty-beside-control} {5 5 empty-alone}] [{6 6 empty-beside-control} {7 7 empty-alone}]" {
		t.Error(d.Gone, d.Missing)
	}
	if i := d.IDs; i.Seen != 5 || i.Present != 1 || i.Edited != 1 || i.Absent != 2 || i.Unknown != 1 || i.Missing != 2 {
		t.Errorf("%+v", i)
	}
}
