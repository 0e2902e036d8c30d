//go:build unix

package file

var ErrNoSyncAll = errNoSyncAll

// Dir returns the directory of s.
func Dir(s *Store) string { return s.path }
