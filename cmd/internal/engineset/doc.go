// Package engineset says where the store, the queue and the catalog of a node lie, and opens
// them: files of this machine, or a bucket, a broker and a database that several nodes
// share. A node works with each by what its contract says ([Store], [Queue], [Catalog]);
// this room alone knows which ones there are.
//
// # Secrets
//
// No URL holds one: they are printed, kept in node.json and mirrored, so one with a
// password is refused, and not repeated. Secrets come from the environment, or from files
// that it names and nobody else can read.
//
// # On the disk, and after a crash
//
// An embedded queue or catalog that lies outside the node's directory has a file PATH.node
// beside it that says whose it is: two nodes in one would take each other's work, since
// their locks lie in their directories. It is made before the engine, so an init that was
// killed may leave it alone; then a person removes it. All else may be made again.
package engineset

import "fmt"

// UsageError is a mistake of the person who gave a URL or a flag.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }

func (e *UsageError) Unwrap() error { return e.err }

// Usage makes one, of a format as [fmt.Errorf] takes it.
func Usage(format string, a ...any) error { return &UsageError{fmt.Errorf(format, a...)} }
