package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// clean notes an answer that is whole, was compared with the lists in every form, and is on
// none: what is a part of it need not be feared.
func (ps *parts) clean(x *exchange) {
	if x.method != http.MethodGet || x.status != http.StatusOK || x.fault != nil || x.unchecked != nil || x.withheld != nil {
		return
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.wholes == nil {
		ps.wholes = map[string]*exchange{}
	}
	ps.wholes[x.url] = x // the budget of requests bounds it
}

// belong reports whether the parts are, byte by byte, of a whole that is on no list. Their
// heads alone prove nothing: a site can say of any bytes whose part they are.
func (p *proxy) belong(of whole, list []part) (bool, error) {
	p.parts.mu.Lock()
	x := p.parts.wholes[of.url]
	p.parts.mu.Unlock()
	if x == nil || x.response.body != of.size {
		return false, nil
	}
	if whole := x.wholeAs(); whole.validator != of.validator || whole.coding != of.coding {
		return false, nil
	}
	passed := int64(0) // of chunks there is no way to a place but through all before it
	for _, pt := range list {
		if passed += pt.from; x.chunked && passed > maxUnpackedAll {
			return false, nil
		}
		if same, err := pt.within(x); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// within compares a part with what the whole has in its place.
func (pt part) within(x *exchange) (bool, error) {
	a := &piece{x: pt.x, n: pt.n}
	b := &piece{x: x, skip: pt.from, n: pt.n}
	defer a.close()
	defer b.close()
	one, other := make([]byte, 32<<10), make([]byte, 32<<10)
	for left := pt.n; left > 0; {
		n := min(left, int64(len(one)))
		if _, err := io.ReadFull(a, one[:n]); err != nil {
			return false, fmt.Errorf("compare a part with the whole: %w", err)
		}
		if _, err := io.ReadFull(b, other[:n]); err != nil {
			return false, fmt.Errorf("compare a part with the whole: %w", err)
		}
		if !bytes.Equal(one[:n], other[:n]) {
			return false, nil
		}
		left -= n
	}
	return true, nil
}
