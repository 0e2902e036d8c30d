//go:build !windows

package verifycmd

// systemLanguages: there are none besides the environment. macOS keeps them in
// a file of the home directory, and the verifier opens no such file.
func systemLanguages() []string { return nil }
