//go:build unix

package file

// Dir returns the directory of s.
func Dir(s *Store) string { return s.path }
