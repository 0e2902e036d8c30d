package compare

import (
	"cmp"
	"slices"
	"sort"

	"github.com/aymanbagabas/go-udiff/lcs"
)

// replaced is a range of the first sequence that a range of the second stands for; either
// may be empty.
type replaced struct{ a0, a1, b0, b1 int }

// alignDepth bounds how often what lies between two anchors is looked at for anchors of
// its own.
const alignDepth = 40

// align says what of b stands for what of a, in order and not adjoining. What is in each
// once is an anchor; between anchors Myers' algorithm decides.
func align(a, b []rune) []replaced {
	k := &aligner{a: a, b: b}
	k.between(0, len(a), 0, len(b), 0)
	return k.out
}

type aligner struct {
	a, b []rune
	out  []replaced
}

func (k *aligner) put(r replaced) {
	if r.a0 == r.a1 && r.b0 == r.b1 {
		return
	}
	if n := len(k.out); n > 0 && k.out[n-1].a1 == r.a0 && k.out[n-1].b1 == r.b0 {
		k.out[n-1].a1, k.out[n-1].b1 = r.a1, r.b1
		return
	}
	k.out = append(k.out, r)
}

func (k *aligner) between(a0, a1, b0, b1, depth int) {
	for a0 < a1 && b0 < b1 && k.a[a0] == k.b[b0] {
		a0, b0 = a0+1, b0+1
	}
	for a0 < a1 && b0 < b1 && k.a[a1-1] == k.b[b1-1] {
		a1, b1 = a1-1, b1-1
	}
	if a0 == a1 || b0 == b1 {
		k.put(replaced{a0, a1, b0, b1})
		return
	}
	anchors := [][2]int(nil)
	if depth < alignDepth {
		anchors = anchorsOf(k.a[a0:a1], k.b[b0:b1])
	}
	if len(anchors) == 0 {
		for _, d := range lcs.DiffRunes(k.a[a0:a1], k.b[b0:b1]) {
			k.put(replaced{a0 + d.Start, a0 + d.End, b0 + d.ReplStart, b0 + d.ReplEnd})
		}
		return
	}
	ia, ib := a0, b0
	for _, p := range anchors {
		k.between(ia, a0+p[0], ib, b0+p[1], depth+1)
		ia, ib = a0+p[0]+1, b0+p[1]+1
	}
	k.between(ia, a1, ib, b1, depth+1)
}

// anchorsOf are the places of what is once in each, as many as stand in one order.
func anchorsOf(a, b []rune) [][2]int {
	type seen struct{ na, nb, ia, ib int }
	of := make(map[rune]seen, len(a))
	for i, r := range a {
		s := of[r]
		s.na, s.ia = s.na+1, i
		of[r] = s
	}
	for i, r := range b {
		if s, ok := of[r]; ok {
			s.nb, s.ib = s.nb+1, i
			of[r] = s
		}
	}
	var pairs [][2]int
	for _, s := range of {
		if s.na == 1 && s.nb == 1 {
			pairs = append(pairs, [2]int{s.ia, s.ib})
		}
	}
	slices.SortFunc(pairs, func(x, y [2]int) int { return cmp.Compare(x[0], y[0]) })
	return longest(pairs)
}

// longest is the longest part of pairs whose second places ascend too.
func longest(pairs [][2]int) [][2]int {
	var ends []int // of the best run of each length: its last pair
	before := make([]int, len(pairs))
	for i, p := range pairs {
		n := sort.Search(len(ends), func(j int) bool { return pairs[ends[j]][1] >= p[1] })
		before[i] = -1
		if n > 0 {
			before[i] = ends[n-1]
		}
		if n == len(ends) {
			ends = append(ends, i)
		} else {
			ends[n] = i
		}
	}
	if len(ends) == 0 {
		return nil
	}
	out := make([][2]int, len(ends))
	for i, at := len(ends)-1, ends[len(ends)-1]; i >= 0; i, at = i-1, before[at] {
		out[i] = pairs[at]
	}
	return out
}
