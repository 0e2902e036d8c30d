// Package holdfast holds the words, the formats and the verifier.
package holdfast
