//go:build !linux

package cputime

import "time"

func listenersCPU([]string) (time.Duration, bool) { return 0, false }

// MachineNow is not known here.
func MachineNow() Machine { return Machine{} }
