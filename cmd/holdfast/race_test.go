//go:build race

package main

// raced says that this is a program with the race detector; what it builds has it too.
const raced = true
