package verifycmd

import (
	"os"
	"runtime/debug"
)

// memoryLimit in bytes leaves room below the budget of 256 MB resident for
// what is no heap.
const memoryLimit = 180 << 20

// verifyLimit is the same for verify, whose budget is 150 MB resident: what it holds of
// 100,000 entries at once is 84 MB.
const verifyLimit = 100 << 20

// LimitMemory makes this process's garbage collector work harder near 180 MB,
// so that a Case of 100,000 captures does not take twice what it needs. Nothing
// fails beyond the limit. GOMEMLIMIT, if it is set, stands.
func LimitMemory() { limit(memoryLimit) }

func limit(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}
