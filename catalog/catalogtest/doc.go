// Package catalogtest says what every catalog must hold to.
package catalogtest
