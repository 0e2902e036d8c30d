//go:build !linux

package cgroup

import (
	"fmt"
	"os/exec"
	"runtime"
)

// Place is where groups are made. Here there is none.
type Place struct{}

// Group is one control group. Here there is none.
type Group struct{}

// Find always gives [ErrNone].
func Find() (*Place, error) { return nil, fmt.Errorf("%w: %s has none", ErrNone, runtime.GOOS) }

// Make always gives [ErrNone].
func (*Place) Make(Limits) (*Group, error) { return nil, ErrNone }

// Into does nothing.
func (*Group) Into(*exec.Cmd) {}

// Struck is zero.
func (*Group) Struck() Struck { return Struck{} }

// Close does nothing.
func (*Group) Close() error { return nil }
