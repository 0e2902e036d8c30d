package pipeline

import "holdfast"

// CaptureOf lets the tests outside the package make a valid capture.
func CaptureOf(id holdfast.ID, size int) *Captured { return capture(id, size) }
