// Package seams joins rooms that do not know each other: preserve as the pipeline sees it, and
// the catalog as the pipeline and the store see it. Here one's words become the other's, and
// nothing is decided but what stops a stage: what is wrong with one message, plan or pack is
// said on the log and gone past, an error of the catalog or of ctx stops. Nothing is kept
// between two calls; what is safe for concurrent use is what lies behind it.
package seams
