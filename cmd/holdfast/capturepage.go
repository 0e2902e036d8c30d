package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// pageFlags say what is done to a page before it is looked at.
type pageFlags struct {
	Consent string `json:"consent"`
	More    string `json:"more"`
	Decoded bool   `json:"decoded,omitempty"` // as its own flag says
}

func (f *pageFlags) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Consent, "consent", "refuse", "of a page: refuse a banner that asks for consent (accept where nothing refuses; the page before is kept), or leave it")
	cmd.Flags().StringVar(&f.More, "more", "buttons", "of a page: press buttons that give more of it (\"load more\"), at most 20, or none")
}

func (f pageFlags) check() error {
	if f.Consent != "refuse" && f.Consent != "leave" {
		return usageError("--consent %.20q: refuse or leave", f.Consent)
	}
	if f.More != "buttons" && f.More != "none" {
		return usageError("--more %.20q: buttons or none", f.More)
	}
	return nil
}

// options are those of the Collector; none for what it does by itself.
func (f pageFlags) options(decoded bool) (json.RawMessage, error) {
	f.Decoded = decoded
	if f.Consent == "" { // not asked for by a command
		f.Consent, f.More = "refuse", "buttons"
	}
	if f == (pageFlags{Consent: "refuse", More: "buttons"}) {
		return nil, nil
	}
	return json.Marshal(f)
}

// recipesOf is the directory of recipes of a node, which somebody made there; "" if nobody
// did.
func recipesOf(dir string) string {
	name := filepath.Join(dir, "recipes")
	if st, err := os.Stat(name); err != nil || !st.IsDir() {
		return ""
	}
	return name
}
