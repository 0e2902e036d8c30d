package main

import "holdfast/heard"

// hears is who notes that channels were answered for.
func (n *node) hears() heard.Node {
	return heard.Node{Dir: n.dir, Agent: n.set.Agent, Custody: n.outbox, Log: n.log}
}
