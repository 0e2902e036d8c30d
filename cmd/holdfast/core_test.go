package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoCore: what crashes leaves no memory on the disk; children inherit it.
func TestNoCore(t *testing.T) {
	noCore()
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil || l.Cur != 0 || l.Max != 0 {
		t.Errorf("core files of up to %d bytes may be written (%v)", l.Cur, err)
	}
}
