//go:build !linux

package main

import "time"

func listenersCPU([]string) (time.Duration, bool) { return 0, false }

func machineNow() machineCPU { return machineCPU{} }
