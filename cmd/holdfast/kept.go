package main

import "holdfast/kept"

// kept reads what this node keeps of captures, wherever it lies.
func (n *node) kept() *kept.Reader {
	return &kept.Reader{Catalog: n.cat, Store: n.store, Queue: n.queue, Log: n.log}
}

// keptAt is kept for many, of which it is known where their Manifests lie.
func (n *node) keptAt(at kept.Places) *kept.Reader {
	k := n.kept()
	k.At = at
	return k
}
