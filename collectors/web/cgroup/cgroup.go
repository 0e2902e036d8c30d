// Package cgroup puts a program, and all that it starts, into a control group of its own
// (Linux's cgroup v2): with a limit of memory, of swap and of processes, and an end for
// all of it at once.
//
// Groups are made only where the system has handed a part of its tree over: to a systemd
// unit with Delegate=yes, to a user who may write there, or to root at the top of the
// tree. Elsewhere [Find] says why not, and nothing is touched.
//
// A group may not have both processes and groups with limits in it. So Find moves this
// process into a group of its own (holdfast), beside those that are made.
//
// What a killed process leaves is its groups, by its number, with what runs in them;
// Find ends and removes those of processes that are gone.
package cgroup

import "errors"

// ErrNone is wrapped by errors that say why no group can be made here.
var ErrNone = errors.New("no control groups here")

// Limits of a group. Zero is no limit.
type Limits struct {
	Memory    int64 // bytes, with what lies in the page cache and in shared memory; swap is none then
	Processes int   // with their threads
}

// Struck counts how often a limit was met.
type Struck struct {
	Memory    int // processes that the system has ended
	Processes int // processes and threads that were refused
}
