// Package pg opens a PostgreSQL database for the rooms that keep something in one:
// it reads the URL, refuses a password in it, asks for TLS, brings the tables to
// the form that the program knows, and says of each refusal what to do.
//
// # Namespaces
//
// What is opened lies in one schema (PostgreSQL's word for a namespace) of the
// database, which is the first on the connections' search_path. A queue, a catalog
// and those of another office may so lie in one database and never meet.
//
// # Migrations
//
// They are numbered files, run by goose, each in a transaction, under an advisory
// lock of the schema: of several nodes that start at once one does it, and the
// others find it done. A crash leaves the number of the last whole file. Tables of
// a newer program are refused and not touched.
//
// # Durability
//
// synchronous_commit is on, whatever the server's default is: a transaction that
// returned is on the server's disk, and on that of its synchronous standbys if it
// has any. A transaction may take that back for itself.
package pg
