//go:build unix && !linux

package s3

import "os"

func nameless(dir string) (*os.File, error) { return unlinked(dir) }
