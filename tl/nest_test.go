package tl

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/gotd/td/tg"
)

// TestNests guards the list of constructors that can hold one of their own kind:
// it is compared with what the schema says, so that a newer schema cannot bring
// one that is not counted.
func TestNests(t *testing.T) {
	types := map[uint32]reflect.Type{}
	for id, make := range tg.TypesConstructorMap() {
		types[id] = reflect.TypeOf(make()).Elem()
	}
	implementers := map[reflect.Type][]reflect.Type{}
	of := func(f reflect.Type) []reflect.Type {
		for f.Kind() == reflect.Slice || f.Kind() == reflect.Pointer {
			f = f.Elem()
		}
		switch f.Kind() {
		case reflect.Struct:
			return []reflect.Type{f}
		case reflect.Interface:
			list, known := implementers[f]
			if !known {
				for _, c := range types {
					if reflect.PointerTo(c).Implements(f) {
						list = append(list, c)
					}
				}
				implementers[f] = list
			}
			return list
		}
		return nil
	}
	next := map[reflect.Type][]reflect.Type{}
	for _, c := range types {
		for i := range c.NumField() {
			next[c] = append(next[c], of(c.Field(i).Type)...)
		}
	}
	reach := func(from ...reflect.Type) map[reflect.Type]bool {
		seen := map[reflect.Type]bool{}
		for len(from) > 0 {
			c := from[len(from)-1]
			from = from[:len(from)-1]
			for _, n := range next[c] {
				if !seen[n] {
					seen[n] = true
					from = append(from, n)
				}
			}
		}
		return seen
	}
	roots := []any{tg.MessagesMessages{}, tg.MessagesMessagesSlice{}, tg.MessagesChannelMessages{}, tg.UpdatesChannelDifference{}, tg.UpdatesChannelDifferenceTooLong{}}
	from := make([]reflect.Type, len(roots))
	for i, r := range roots {
		from[i] = reflect.TypeOf(r)
	}
	met := reach(from...)
	var missing []string
	n := 0
	for id, c := range types {
		if !met[c] || !reach(c)[c] {
			if nests(id) {
				t.Errorf("%s is counted and need not be", c.Name())
			}
			continue
		}
		n++
		if !nests(id) {
			missing = append(missing, fmt.Sprintf("tg.%sTypeID", c.Name()))
		}
	}
	slices.Sort(missing)
	if n == 0 || len(missing) > 0 {
		t.Errorf("of %d nesting constructors these are not counted: %v", n, missing)
	}
}
