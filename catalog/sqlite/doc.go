// Package sqlite is the embedded catalog: one SQLite database.
package sqlite
