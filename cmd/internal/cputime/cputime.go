// Package cputime says who used the processors: this process, others that are known by
// where they listen on this machine, and the machine as a whole. On other systems than
// Linux only this process is known, and the rest says so ([Used].Known).
//
// Nothing is kept, and every function may be called by several at once.
package cputime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Own is the processor time of this process so far, of all its threads, in the program
// and in the system; 0 where it is not known. Its children do not count.
func Own() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Span is time, and processor time of this process.
type Span struct{ Wall, CPU time.Duration }

// Add adds what f takes.
func (s *Span) Add(f func()) {
	begun, used := time.Now(), Own()
	f()
	s.Wall, s.CPU = s.Wall+time.Since(begun), s.CPU+Own()-used
}
