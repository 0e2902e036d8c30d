package catalog

import (
	"cmp"
	"slices"

	"holdfast"
	"holdfast/hashing"
)

// Gathered is what a batch has that is searched: each text and each address once, by
// Digest, and where they stand.
type Gathered struct {
	Texts     []Text
	Addresses []Link
	Places    []TextPlace
}

// Text is one text; At is the newest time that the batch states for it.
type Text struct {
	Digest      hashing.Digest
	Title, Body string
	At          holdfast.Time
}

// Link is one address.
type Link struct {
	Digest  hashing.Digest
	Address string
}

// TextPlace is where a text stands: a post, or a capture, whose place in the batch is
// Capture (-1: it is a post). Text and Addresses are places in [Gathered].
type TextPlace struct {
	Text          int
	Channel, Post int64
	Capture       int
	Addresses     []int
}

// Gather gathers those of the pages of a batch, and of the answers that are fresh.
func Gather(batch []Accepted, fresh []*Answer) Gathered {
	g := gatherer{text: map[hashing.Digest]int{}, address: map[string]int{}}
	for _, x := range fresh {
		g.answer(x)
	}
	for i := range batch {
		if p := batch[i].Page; p != nil {
			g.add(Text{p.Digest(), p.Title, p.Body(), batch[i].Started}, TextPlace{Capture: i}, p.Addresses)
		}
	}
	return g.sorted()
}

type gatherer struct {
	Gathered
	text    map[hashing.Digest]int
	address map[string]int
}

func (g *gatherer) answer(x *Answer) {
	channel := ChannelNumber(x.Channel)
	for i, p := range x.Posts {
		at := p.Posted
		if at.IsZero() {
			at = x.Received
		}
		if s := x.Said[i]; s.Text != "" || len(s.Links) > 0 {
			g.add(Text{p.Text, "", s.Text, at}, TextPlace{Channel: channel, Post: p.ID, Capture: -1}, s.Links)
		}
	}
}

func (g *gatherer) add(t Text, p TextPlace, addresses []string) {
	i, known := g.text[t.Digest]
	if !known {
		i = len(g.Texts)
		g.text[t.Digest], g.Texts = i, append(g.Texts, t)
	}
	if x := &g.Texts[i]; t.At.After(x.At.Time) {
		x.At = t.At
	}
	p.Text = i
	for _, a := range addresses {
		k, known := g.address[a]
		if !known {
			k = len(g.Addresses)
			g.address[a], g.Addresses = k, append(g.Addresses, Link{hashing.Of([]byte(a)), a})
		}
		p.Addresses = append(p.Addresses, k)
	}
	g.Places = append(g.Places, p)
}

// sorted puts texts and addresses in the order of their Digests: writers that meet
// take the same ones in the same order.
func (g *gatherer) sorted() Gathered {
	texts := reorder(g.Texts, func(t Text) hashing.Digest { return t.Digest })
	links := reorder(g.Addresses, func(l Link) hashing.Digest { return l.Digest })
	for i := range g.Places {
		p := &g.Places[i]
		p.Text = texts[p.Text]
		for k, a := range p.Addresses {
			p.Addresses[k] = links[a]
		}
	}
	return g.Gathered
}

// reorder sorts list by Digest and returns where each has gone.
func reorder[T any](list []T, digest func(T) hashing.Digest) []int {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return digest(list[a]).Compare(digest(list[b])) })
	old, to := slices.Clone(list), make([]int, len(list))
	for i, from := range order {
		list[i], to[from] = old[from], i
	}
	return to
}

// ChainHead is what a batch says of one chain of a Case.
type ChainHead struct {
	Case, Chain holdfast.ID
	Length      int64
	Node        string
}

// ChainHeads are those of a batch, each chain once, by Case and chain: the greatest
// length and, should a chain ever be of two nodes, the smaller name.
func ChainHeads(batch []Accepted) []ChainHead {
	type key struct{ home, chain holdfast.ID }
	heads := map[key]ChainHead{}
	grow := func(home, chain holdfast.ID, length int64, node string) {
		if h, ok := heads[key{home, chain}]; ok {
			length, node = max(h.Length, length), min(h.Node, node)
		}
		heads[key{home, chain}] = ChainHead{home, chain, length, node}
	}
	for _, a := range batch {
		grow(a.Case, a.Head.Chain, a.Head.Length, a.Node)
		if a.Line != nil {
			grow(a.Case, a.Line.Chain, a.Line.N, a.Node)
		}
	}
	out := make([]ChainHead, 0, len(heads))
	for _, h := range heads {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b ChainHead) int { return cmp.Or(cmp.Compare(a.Case, b.Case), cmp.Compare(a.Chain, b.Chain)) })
	return out
}
