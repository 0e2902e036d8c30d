// Package plans reads the plans of Seals back from a store, and what they plan from their
// packs: for a node that was restored, or whose queue was lost, and that has to finish
// what was planned and not logged. Nothing is written here.
//
// What is damaged ([ErrUnsound], [ForGood]) is told apart from what could not be read now:
// the one is a problem to be named and left, the other is tried again.
package plans
