// Package rules says what people are told of and to whom ([Rule]), and finds it in what was
// accepted ([Finder]). Telling it, and the box of what waits to be told, are of package
// alert.
//
// # On the disk
//
// alerts.json in the node's directory has the rules, without secrets: it names the files
// that hold them. Nodes that share a queue have their rules in the office's database, each
// as its JSON stands in the file.
//
// # What a crash leaves
//
// An event has an ID that follows from the rule and the facts, not from when or in which
// order they were found: who finds it a second time, after a crash or in another process,
// gives the box nothing new.
package rules
