package pipeline

import (
	"os"

	"holdfast"
)

// OpenOutboxSync is OpenOutbox with another fsync.
func OpenOutboxSync(dir string, f Facts, q EventQueue, sync func(*os.File) error) (*Outbox, error) {
	return openOutbox(dir, f, q, nil, sync)
}

// CaptureOf lets the tests outside the package make a valid capture.
func CaptureOf(id holdfast.ID, size int) *Captured { return capture(id, size) }
