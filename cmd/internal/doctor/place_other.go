//go:build !linux

package doctor

// fileSystem is known on Linux only.
func fileSystem(string) (kind int64, free, total uint64, err error) { return 0, 0, 0, nil }

// keptInTime is known on Linux only.
func keptInTime() (kept, known bool) { return false, false }
