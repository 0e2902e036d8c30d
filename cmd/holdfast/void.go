package main

import (
	"context"
	"fmt"
	"strings"

	"holdfast/catalog"
	"holdfast/pipeline"
)

// void reports whether a capture's Seal is contradicted for good by the end of
// its key: parts are whole, and no wait helps.
func void(cp catalog.Capture) bool {
	return cp.State == pipeline.StateSigned && strings.HasPrefix(cp.Reason, "contradicted: ")
}

// voided is the error that says how many are void; nil: none is.
func (n *node) voided(ctx context.Context) error {
	count, why := 0, ""
	for cp, err := range n.cat.Captures(ctx, catalog.Query{State: pipeline.StateSigned}) {
		if err != nil {
			return err
		}
		if void(cp) {
			count, why = count+1, cp.Reason
		}
	}
	if count == 0 {
		return nil
	}
	return &exitError{exitUnsealed, fmt.Errorf("%d captures and events are %s; waiting does not help: `holdfast list --state signed` names them, docs/threats.md says what is left to do", count, why)}
}
