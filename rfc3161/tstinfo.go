package rfc3161

import (
	"strings"
	"time"
)

// tstInfo reads RFC 3161 section 2.4.2.
func (t *Token) tstInfo() error {
	outer := &reader{b: t.content}
	r := outer.inside(tagSequence)
	r.literal("version", r.integer(tagInt).String(), "1")
	t.Policy = r.oid()
	imprint := r.inside(tagSequence)
	alg := imprint.algorithm()
	_, t.Imprint = imprint.element(tagOctets)
	t.ImprintAlg = alg.oid
	if !alg.nullOrAbsent() {
		imprint.failf("parameters of the imprint's hash")
	}
	r.adopt(imprint)
	t.Serial = r.integer(tagInt).Text(16)
	t.GenTime = r.generalizedTime()
	if r.peek() == tagSequence {
		t.accuracy(r)
	}
	if r.peek() == tagBool { // DEFAULT FALSE, so DER writes only TRUE
		_, v := r.element(tagBool)
		r.literal("ordering", string(v), "\xff")
		t.Ordering = true
	}
	if r.peek() == tagInt {
		t.Nonce = r.integer(tagInt)
	}
	if r.peek() == tagContext0 {
		_, t.TSA = r.element(tagContext0)
	}
	if r.peek() == tagContext1 {
		extensions(r)
	}
	outer.adopt(r)
	return outer.end()
}

func (t *Token) accuracy(r *reader) {
	a := r.inside(tagSequence)
	t.HasAccuracy = true
	for _, f := range []struct {
		tag  byte
		unit time.Duration
	}{{tagInt, time.Second}, {0x80, time.Millisecond}, {0x81, time.Microsecond}} {
		if a.peek() != f.tag {
			continue
		}
		n := a.small(f.tag)
		if f.unit < time.Second && (n < 1 || n > 999) {
			a.failf("accuracy out of range")
		}
		t.Accuracy += time.Duration(n) * f.unit
	}
	r.adopt(a)
}

// extensions refuses critical ones: none is known here.
func extensions(r *reader) {
	list := r.inside(tagContext1)
	for list.err == nil && len(list.b) > 0 {
		ext := list.inside(tagSequence)
		id := ext.oid()
		if ext.peek() == tagBool {
			ext.failf("critical extension %s is not known", id)
		}
		ext.element(tagOctets)
		list.adopt(ext)
	}
	r.adopt(list)
}

// generalizedTime takes YYYYMMDDhhmmss[.f]Z, the one form that RFC 3161
// allows: seconds present, no zero at the end of the fraction, UTC.
func (r *reader) generalizedTime() time.Time {
	_, b := r.element(tagTime)
	whole, z := strings.CutSuffix(string(b), "Z")
	digits, frac, dotted := strings.Cut(whole, ".")
	at, err := time.Parse("20060102150405", digits)
	if !z || err != nil || len(digits) != 14 || !isDigits(digits+frac) || at.Year() < 1970 || // a zero time means "none" elsewhere
		dotted && (frac == "" || len(frac) > 9 || strings.HasSuffix(frac, "0")) {
		r.failf("time %.40q", b)
		return time.Time{}
	}
	for n, unit := 0, 100*time.Millisecond; n < len(frac); n, unit = n+1, unit/10 {
		at = at.Add(time.Duration(frac[n]-'0') * unit)
	}
	return at
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
