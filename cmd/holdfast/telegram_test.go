package main

import (
	"strings"
	"testing"
	"time"

	"rsc.io/qr"
)

// TestPicture guards that what is drawn on a terminal is the code, module by
// module, with light around it on every side.
func TestPicture(t *testing.T) {
	const url = "tg://login?token=AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-=="
	var errs strings.Builder
	c := &cli{errs: &errs}
	if err := c.showPicture(url, time.Now()); err != nil {
		t.Fatal(err)
	}
	want, err := qr.Encode(url, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]bool
	for line := range strings.Lines(errs.String()) {
		body, ok := strings.CutPrefix(line, "\x1b[30;107m")
		if !ok {
			continue
		}
		var upper, lower []bool
		for _, r := range strings.TrimSuffix(body, "\x1b[0m\n") {
			upper, lower = append(upper, r == '▀' || r == '█'), append(lower, r == '▄' || r == '█')
		}
		rows = append(rows, upper, lower)
	}
	if len(rows) < want.Size+4 {
		t.Fatalf("%d rows of a code of %d", len(rows), want.Size)
	}
	for y, row := range rows {
		for x, black := range row {
			if black != want.Black(x-2, y-2) {
				t.Fatalf("at %d, %d it is %t", x, y, black)
			}
		}
		if len(row) != want.Size+4 {
			t.Fatalf("row %d has %d", y, len(row))
		}
	}
}
