// Package pipeline carries a capture from the Collector to its Seal: the stages
// intake, normalise, preserve and index, and the contract of the queue between
// them. pipeline/sqlite is the embedded queue; pipeline/queuetest says what
// every queue must hold to.
package pipeline
