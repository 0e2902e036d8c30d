//go:build unix && !linux

package file

import "os"

// startWriteback is a hint that only Linux takes.
func startWriteback(*os.File) {}
